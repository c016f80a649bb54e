"""Group L: standard content, `output_version="v1"`."""

import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from langplug_backend import Call, Reply
from langplug_check.paths import Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable

_LINK = "https://docs.langchain.com/oss/python/langchain/messages#standard-content-blocks"

_VARIABLE = "LC_OUTPUT_VERSION"

ADDED_UP: Sequence[PathName] = ("invoke", "ainvoke", "stream", "astream")
"""The paths whose message is what `output_version` is about; events have blocks of their own."""

_TEXT = "Let me see. "


@tool
def langplug_adder(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@contextmanager
def _environment(value: str | None) -> Generator[None, None, None]:
    before = os.environ.pop(_VARIABLE, None)
    if value is not None:
        os.environ[_VARIABLE] = value
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before


@statement(
    "L01",
    "With `output_version='v1'`, given or from LC_OUTPUT_VERSION, content is typed blocks with the same text in one "
    "text block, and `response_metadata` says so, whole and streamed.",
    why="Applications that are written for standard content read blocks, and nothing else.",
    hint="""
    # leave `output_version` to langchain-core: give plain content, and it makes blocks of it.
    # A class that makes blocks itself gives each run of text one `index`, and sets the flag:
    AIMessageChunk([{"type": "text", "text": piece, "index": 0}], response_metadata={"output_version": "v1"})
    """,
    link=_LINK,
    needs=("answer",),
)
def typed_blocks(subject: Subject) -> None:
    """Ask by each path, with the argument and with the variable; compare the blocks with the plain answer."""
    said = subject.answer()
    with _environment(None):
        for outcome in subject.each_path(lambda: subject.model(output_version="v1"), paths=ADDED_UP):
            _check_blocks(outcome, said, "output_version='v1'")
    with _environment("v1"):
        _check_blocks(subject.ask(subject.model()), said, "LC_OUTPUT_VERSION=v1")


def _check_blocks(outcome: Outcome, said: str, how: str) -> None:
    content = outcome.answer.content
    where = f"{outcome.path} with {how}"
    if not isinstance(content, list) or not all(isinstance(block, dict) and "type" in block for block in content):
        raise Failed(f"{where} gave the content {content!r:.150}", "a list of blocks, each with its type")
    texts = [str(block.get("text")) for block in content if isinstance(block, dict) and block["type"] == "text"]
    if texts != [said]:
        raise Failed(f"{where} gave the text blocks {texts!r:.200}", repr([said]))
    if outcome.answer.text != said:
        raise Failed(f"{where} gave the text {outcome.answer.text!r}", repr(said))
    if outcome.answer.response_metadata.get("output_version") != "v1":
        raise Failed(f"{where}: response_metadata does not say output_version='v1'", "the flag, by which it is read")


@statement(
    "L02",
    "A tool call that is streamed as standard content ends as a `tool_call` block with its arguments, beside the text.",
    why="Blocks with the same index are merged: text and call become one block that is neither.",
    hint="""
    # number call chunks after the text block: where that has index 0, the first call has 1
    tool_call_chunk(name=name, args=piece, id=id, index=1)
    """,
    link=_LINK,
    needs=("replies", "tools", "streaming"),
)
def streamed_calls(subject: Subject) -> None:
    """Stream a text and a call with `output_version="v1"`, and read the blocks that the chunks add up to."""
    args = {"a": 1, "b": 2}
    reply = Reply(pieces=(_TEXT, Call(name=langplug_adder.name, args=args)))
    for outcome in subject.each_path(
        lambda: subject.says(reply, output_version="v1").bind_tools([langplug_adder]), paths=("stream", "astream")
    ):
        kept = outcome.answer
        blocks = [block for block in kept.content if isinstance(block, dict)] if isinstance(kept.content, list) else []
        calls = [block for block in blocks if block.get("type") == "tool_call"]
        if [(call.get("name"), call.get("args")) for call in calls] != [(langplug_adder.name, args)]:
            raise Failed(
                f"{outcome.path} of a text and a call gave the content {_kinds(blocks)}",
                f"a tool_call block with the arguments {args}",
            )
        text = "".join(str(block.get("text")) for block in blocks if block.get("type") == "text")
        if text.strip() != _TEXT.strip():
            raise Failed(f"{outcome.path} gave the text {text!r} beside the call", repr(_TEXT))


def _kinds(blocks: Sequence[Mapping[str, Any]]) -> str:
    return "[" + ", ".join(json.dumps(dict(block), default=repr)[:120] for block in blocks) + "]"


@statement(
    "L03",
    "A standard message in the history puts its text and its tool call on the wire, each once.",
    why="Servers reject a call that comes twice, and answer wrongly to one that is missing.",
    hint="""
    # of an AIMessage, take calls from `message.tool_calls` and skip the blocks that repeat them
    text = "".join(block["text"] for block in message.content_blocks if block["type"] == "text")
    """,
    link=_LINK,
    needs=("requests",),
)
def standard_history(subject: Subject) -> None:
    """Send a conversation with a standard message; count its text and its call in the request."""
    text, argument = "LANGPLUG-TEXT", "LANGPLUG-ARGUMENT"
    call = {"type": "tool_call", "name": "look_up", "args": {"word": argument}, "id": "call_langplug_1"}
    history: list[BaseMessage] = [
        HumanMessage("Look it up."),
        AIMessage(
            [{"type": "text", "text": text}, call],
            tool_calls=[{"name": call["name"], "args": call["args"], "id": call["id"], "type": "tool_call"}],
            response_metadata={"output_version": "v1"},
        ),
        ToolMessage("It is nothing.", tool_call_id="call_langplug_1"),
        HumanMessage("Thank you."),
    ]
    outcome = subject.ask(subject.model(), history)
    if outcome.error is not None:
        raise Failed(f"a history with a standard message raised {shown(outcome.error)}", "an answer")
    sent = _sent(subject)
    for what, marker in (("the text", text), ("the call", argument)):
        times = sent.count(marker)
        if times != 1:
            raise Failed(f"{what} of the standard message is {times} times in the request: {sent:.300}", "once")


def _sent(subject: Subject) -> str:
    exchange = subject.exchanges[-1]
    body = exchange.body
    if not isinstance(body, Mapping) or "messages" not in body:
        raise NotApplicable("the request has no messages that could be looked at")
    return json.dumps(body["messages"], ensure_ascii=False)


@statement(
    "L04",
    "`content_blocks` of a plain message equals the content of the standard one.",
    why="They are two ways to read the same answer.",
    hint="""
    # put reasoning into additional_kwargs["reasoning_content"] and calls into tool_calls; and name a provider
    # in response_metadata["model_provider"] only if langchain-core's translator of that name fits your content
    """,
    link=_LINK,
    needs=("answer",),
)
def same_blocks(subject: Subject) -> None:
    """Compare them for a text and, where they can be had, for a text with a call."""
    _check_same(subject, {}, None)
    if subject.lacks("replies") is None and subject.lacks("tools") is None:
        _check_same(subject, {"a": 1}, Reply(pieces=(_TEXT, Call(name=langplug_adder.name, args={"a": 1, "b": 2}))))


def _check_same(subject: Subject, called: Mapping[str, Any], reply: Reply | None) -> None:
    def answer(**overrides: Any) -> AIMessage:
        model: Any = subject.model(**overrides) if reply is None else subject.says(reply, **overrides)
        return subject.ask(model.bind_tools([langplug_adder]) if called else model).answer

    with _environment(None):
        plain, standard = answer(), answer(output_version="v1")
    before, after = _essence(plain.content_blocks), _essence(standard.content)
    if before != after:
        raise Failed(
            f"content_blocks of the plain message: {before!r:.250}", f"as the standard content: {after!r:.250}"
        )


def _essence(blocks: Any) -> list[Any]:
    """The blocks without ids and indexes, which are given anew each time."""
    return [
        {name: item for name, item in block.items() if name not in ("id", "index", "extras")}
        if isinstance(block, dict)
        else block
        for block in blocks
    ]
