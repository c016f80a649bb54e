"""Group C: what goes along with a message or an answer: marks, names, reasons, counts."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langplug import ChatModel
from langplug_backend import ChatRequest, Reply
from langplug_check.groups._runs import FOUR
from langplug_check.groups._tools import last_exchange, request_in
from langplug_check.paths import Outcome, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_TEXT = "One two three."


def _sent(subject: Subject, history: list[BaseMessage]) -> tuple[ChatRequest, Any]:
    """What reaches the backend of a history: as it is understood, and as it was sent."""
    outcome = subject.ask(subject.model(), history)
    outcome.answer  # noqa: B018 - an error here is a failure
    exchange = last_exchange(subject)
    if not isinstance(exchange.body, Mapping):
        raise NotObserved("the request cannot be read as an API's")
    return request_in(exchange), exchange.body


@statement(
    "C26",
    "A name that OpenAI's API refuses in a message, such as 'Onboarding Agent', is left out or mended.",
    why="`create_agent(name=...)` names the model's answers so, and every call after the first is refused.",
    hint="""
    # what the API takes: ^[^\\s<|\\\\/>]+$
    if message.name:
        sent["name"] = re.sub(r"[\\s<|\\\\/>]+", "_", message.name)
    """,
    link="https://github.com/langchain-ai/langchain/issues/35054",
    needs=("requests", "backend"),
)
def names_are_clean(subject: Subject) -> str:
    """Send an answer in the name of an agent with a blank in it, and read the names in the request."""
    welcome = AIMessage("Welcome.", name="Onboarding Agent")
    history: list[BaseMessage] = [HumanMessage("Hello."), welcome, HumanMessage("Thank you.")]
    asked, body = _sent(subject, history)
    if asked.dialect != "openai":
        raise NotApplicable("its API has no names in messages")
    names = [str(message["name"]) for message in body.get("messages", ()) if message.get("name")]
    if refused := [name for name in names if re.search(r"[\s<|\\/>]", name)]:
        raise Failed(f"the request has the name {refused[0]!r}", "a name without blanks, or none")
    return f"sent as {names[0]!r}" if names else "left out"


@statement(
    "C27",
    "A mark on a part of a message that is for the provider, `cache_control`, reaches the backend.",
    why="Without it the prompt is never kept: each call costs several times as much, and nothing says why.",
    hint="""
    # pass the parts of a text on as parts, with all that they have, and join only those that are plain texts
    {"type": "text", "text": "...", "cache_control": {"type": "ephemeral"}}
    """,
    link="https://docs.langchain.com/oss/python/integrations/chat/anthropic#prompt-caching",
    needs=("requests",),
)
def marks_arrive(subject: Subject) -> None:
    """Mark a part of the system message, and look for the mark in the request."""
    marked: Any = {"type": "text", "text": "These are the rules.", "cache_control": {"type": "ephemeral"}}
    asked, body = _sent(subject, [SystemMessage([marked]), HumanMessage("Hello.")])
    if "cache_control" in json.dumps(body, default=str):
        return
    has_no_place = asked.dialect not in ("anthropic", "openai")
    if has_no_place or (asked.dialect != "anthropic" and not issubclass(subject.cls, ChatModel)):
        raise NotApplicable("it leaves the mark out; its API may have no such thing")
    raise Failed("`cache_control` of a part of the system message is not in the request", "the part as it was given")


@statement(
    "C28",
    "An `LLMResult` says in `llm_output` which model answered, and in `generation_info` why it ended, as the message "
    "does.",
    rank="could",
    why="Tracing tools read these: without them they show the model 'unknown'.",
    hint="""
    generation = ChatGeneration(message=message, generation_info={"finish_reason": reason})
    return ChatResult(generations=[generation], llm_output={"model_name": name, "token_usage": usage})
    """,
    link="https://github.com/traceloop/openllmetry/issues/3098",
    needs=("replies",),
)
def older_fields(subject: Subject) -> None:
    """Compare what handlers get at the end of a call with the message's metadata."""
    outcome = subject.ask(subject.says(Reply(text=_TEXT)))
    said, ends = outcome.answer.response_metadata, outcome.recorder.of("end")
    if not ends:
        raise Failed("no end of the run was reported to handlers", "on_llm_end")
    result = ends[-1].value
    output, info = result.llm_output or {}, result.generations[0][0].generation_info or {}
    lost = [f"llm_output names no model, which is {said['model_name']!r}"] if said.get("model_name") else []
    lost = [] if output.get("model_name") or output.get("model") else lost
    # Each API has its own word for it.
    words = ("finish_reason", "stop_reason", "done_reason")
    if any(said.get(word) for word in words) and not any({**output, **info}.get(word) for word in words):
        lost.append("generation_info has no finish reason")
    if lost:
        raise Failed("; ".join(lost), "what `response_metadata` says")


def _reason(outcome: Outcome) -> str:
    """Why an answer ended, in its API's own word; empty if it does not say."""
    said = outcome.answer.response_metadata
    return str(next((said[word] for word in ("finish_reason", "stop_reason", "done_reason") if said.get(word)), ""))


def _ended(subject: Subject, finish: str) -> Iterator[Outcome]:
    """An answer that ends for a reason, by each path."""
    return subject.each_path(lambda: subject.says(Reply(text=_TEXT, finish=finish)), paths=FOUR)


@statement(
    "C29",
    "An answer that was cut off by a limit of tokens, or by a filter, has its text and a finish reason of its own.",
    why="Half an answer that looks like a whole one is parsed, stored, and shown.",
    hint="""
    # hand the backend's reason on, whatever it is
    AIMessage(text, response_metadata={"finish_reason": choice["finish_reason"]})
    """,
    needs=("replies",),
)
def cut_off_for_a_reason(subject: Subject) -> str:
    """Have answers end for other reasons than being complete, by each path, and read text and reason."""
    usual = next(iter(_ended(subject, "stop")))
    if not _reason(usual):
        raise NotObserved("it gives no finish reason: see C03")
    seen = set[str]()
    for finish in ("length", "content_filter"):
        for outcome in _ended(subject, finish):
            if outcome.error is not None and finish == "content_filter":
                continue  # a typed error says it just as well
            text, reason = str(outcome.answer.text), _reason(outcome)
            if text != _TEXT:
                raise Failed(f"{outcome.path} of an answer that ended by {finish!r} gave the text {text!r}", _TEXT)
            if reason in ("", _reason(usual)):
                raise Failed(f"{outcome.path} of an answer that ended by {finish!r} says {reason!r}", "that reason")
            seen.add(reason)
    return ", ".join(sorted(seen))


@statement(
    "C30",
    "A count of the usage that makes no sense costs the count, and not the answer.",
    why="A gateway's odd number, or its own details, would throw away answers that are good, and were paid for.",
    hint="""
    # what a server counts is its own: take what is an int of 0 or more, and leave out the rest
    usage = UsageMetadata(...) if all(isinstance(n, int) and n >= 0 for n in counts) else None
    """,
    link="https://github.com/langchain-ai/langchain/pull/39926",
    needs=("backend", "replies"),
)
def odd_counts(subject: Subject) -> None:
    """Have the server report a negative count, and details that are no object; read the answer."""
    asked, _ = _sent(subject, [HumanMessage("Hello.")])
    if asked.dialect != "openai":
        raise NotObserved("the test kit's server can report such counts in OpenAI's dialect alone")
    for odd in ({"prompt_tokens": -1}, {"prompt_tokens_details": None, "completion_tokens_details": None}):
        counts = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, **odd}
        reply = Reply(text=_TEXT, usage_mode="none", extra={"usage": counts})
        for path in ("invoke", "ainvoke"):
            outcome = subject.ask(subject.says(reply), None, path)
            if outcome.error is not None:
                raise Failed(f"{path} of an answer with the usage {counts} raised {error_text(outcome.error)}", _TEXT)
            if outcome.text != _TEXT:
                raise Failed(f"{path} of an answer with the usage {counts} gave {outcome.text!r}", _TEXT)


@statement(
    "C31",
    "An answer that its server ends by saying that it failed is an error, or says so in its metadata.",
    why="The server knows that half of the answer is missing, and the application does not.",
    hint="""
    # whole answers end by stop, length, tool_calls or content_filter; hand any other reason on, or raise
    if reason in ("error", "abort"):
        raise AcmeAPIError(f"the server broke the answer off: {reason}")
    """,
    link="https://github.com/vllm-project/vllm/issues/57082",
    needs=("replies",),
)
def failed_answers(subject: Subject) -> str:
    """Have the answer end with the finish reason `error`, by each path."""
    seen = set[str]()
    usual = next(iter(_ended(subject, "stop")))
    for outcome in _ended(subject, "error"):
        if outcome.error is None and _reason(outcome) in ("", _reason(usual)):
            raise Failed(f"{outcome.path} of an answer that its server ended by 'error' looks whole", "an error")
        seen.add("raised" if outcome.error else f"says {_reason(outcome)!r}")
    return ", ".join(sorted(seen))
