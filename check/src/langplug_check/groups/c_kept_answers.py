"""Group C: what becomes of answers afterwards. They are stored, and sent back in the history of the next call."""

import json
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langplug_backend import Reply
from langplug_check.drivers import SAID
from langplug_check.groups._tools import OFFERED, last_exchange, request_in
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

_MESSAGES = "https://docs.langchain.com/oss/python/langchain/messages"

_MARK = "LANGPLUG-BOOKKEEPING"


@statement(
    "C24",
    "All that a message carries is plain data: `additional_kwargs`, usage and content too.",
    why="A checkpointer that meets an object of a client fails, and the conversation is lost.",
    hint="""
    additional_kwargs={"raw": response.model_dump(mode="json")}   # not the response itself
    """,
    link="https://github.com/langchain-ai/langgraph/issues/6275",
    needs=("answer",),
)
def is_plain_data(subject: Subject) -> None:
    """Dump the message that each path gives as JSON, with no help for what is not JSON."""
    for outcome in subject.each_path(subject.model):
        message = outcome.answer
        for name in ("content", "additional_kwargs", "response_metadata", "usage_metadata", "tool_calls"):
            try:
                json.dumps(getattr(message, name))
            except (TypeError, ValueError) as error:
                raise Failed(f"{name} of {outcome.path}: {error_text(error)}", "plain data") from error


@statement(
    "C25",
    "What is kept about earlier answers (`response_metadata`, usage) is not sent back in the history.",
    rank="could",
    why="It costs tokens with each turn, and strict servers refuse fields that they do not know.",
    hint="""
    # send role, content, calls and ids alone
    {"role": "assistant", "content": message.content, "tool_calls": ...}
    """,
    link=_MESSAGES,
    needs=("replies", "requests"),
)
def bookkeeping_is_not_sent(subject: Subject) -> None:
    """Send a history whose answer has a marked `response_metadata`, and look for the mark in the request."""
    history: list[BaseMessage] = [
        HumanMessage("First."),
        AIMessage("Answer.", response_metadata={"note": _MARK}),
        HumanMessage("Second."),
    ]
    _check_unsent(subject, subject.says(SAID), history, "response_metadata")


@statement(
    "I16",
    "What a tool keeps as `artifact` is not sent to the model.",
    rank="must",
    why="It is for the application alone: a table of a million rows, or what no provider may see.",
    hint="""
    {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}   # and not the artifact
    """,
    link="https://docs.langchain.com/oss/python/langchain/messages#tool-message",
    needs=("tools", "replies", "requests"),
)
def artifacts_are_not_sent(subject: Subject) -> None:
    """Send a history with a result that has a marked artifact, and look for the mark in the request."""
    history: list[BaseMessage] = [
        HumanMessage("Look it up."),
        AIMessage("", tool_calls=[{"name": "look", "args": {"what": "it"}, "id": "call00001"}]),
        ToolMessage("Found.", tool_call_id="call00001", name="look", artifact={"rows": [_MARK]}),
    ]
    model: Any = subject.says(Reply(text=SAID))
    _check_unsent(subject, model.bind_tools(list(OFFERED)), history, "the artifact")


def _check_unsent(subject: Subject, model: Any, history: list[BaseMessage], what: str) -> None:
    subject.ask(model, history).answer  # noqa: B018 - an error here is a failure
    exchange = last_exchange(subject)
    texts = [said.text for said in request_in(exchange).messages]
    if _MARK in json.dumps([exchange.body, texts], default=str):
        raise Failed(f"{what} is in the request", "it stays with the caller")
