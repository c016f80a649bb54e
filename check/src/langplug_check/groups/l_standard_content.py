"""Group L: standard content, `output_version="v1"`."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langplug_backend import Call, Reply
from langplug_check.groups._environment import environment
from langplug_check.groups._runs import CHUNKED, FOUR
from langplug_check.groups._tools import DECLINED, add
from langplug_check.paths import Outcome, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable

_LINK = "https://docs.langchain.com/oss/python/langchain/messages#standard-content-blocks"

_VARIABLE = "LC_OUTPUT_VERSION"

_TEXT = "Let me see. "


@statement(
    "L01",
    "With `output_version='v1'`, given or from LC_OUTPUT_VERSION, content is typed blocks with the same text in one "
    "text block, and `response_metadata` says so, whole and streamed.",
    why="Applications written for standard content read blocks, and nothing else.",
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
    text = subject.answer()
    # Not by version 3 of the events, whose blocks are the same whatever `output_version` is.
    with environment(_VARIABLE, None):
        for outcome in subject.each_path(lambda: subject.model(output_version="v1"), paths=FOUR):
            _check_blocks(outcome, text, "output_version='v1'")
    with environment(_VARIABLE, "v1"):
        _check_blocks(subject.ask(subject.model()), text, "LC_OUTPUT_VERSION=v1")


def _check_blocks(outcome: Outcome, text: str, setting: str) -> None:
    """Fail unless the content is blocks with the text in one of them."""
    content = outcome.answer.content
    which = f"{outcome.path} with {setting}"
    if not isinstance(content, list) or not all(isinstance(block, dict) and "type" in block for block in content):
        raise Failed(f"{which} gave the content {content!r:.150}", "a list of blocks, each with its type")
    # One block, also of a stream: `merge_lists` joins blocks with the same `index`, and langchain-core gives one to
    # blocks that have none.
    texts = [str(block.get("text")) for block in content if isinstance(block, dict) and block["type"] == "text"]
    if texts != [text]:
        raise Failed(f"{which} gave the text blocks {texts!r:.200}", repr([text]))
    if outcome.answer.text != text:
        raise Failed(f"{which} gave the text {outcome.answer.text!r}", repr(text))
    # By this flag `AIMessage.content_blocks` knows that the content is blocks already.
    if outcome.answer.response_metadata.get("output_version") != "v1":
        raise Failed(f"{which}: response_metadata does not say output_version='v1'", "the flag")


@statement(
    "L02",
    "A tool call that is streamed as standard content ends as a `tool_call` block with its arguments, beside the text.",
    why="Blocks with the same index are merged: text and call become one block that is neither.",
    hint="""
    # number call chunks after the text block: if that has index 0, the first call has 1
    tool_call_chunk(name=name, args=piece, id=id, index=1)
    """,
    link=_LINK,
    needs=("replies", "tools", "streaming"),
)
def streamed_calls(subject: Subject) -> None:
    """Stream a text and a call with `output_version="v1"`, and read the blocks that the chunks add up to."""
    # langchain-core numbers the text block 0, and APIs like OpenAI's their first call: ChatOpenAI, ChatDeepSeek and
    # others end with one block that is both. ChatAnthropic and ChatOllama number the call 1. langchain-tests streams a
    # call without text, which does not show it.
    args = {"a": 1, "b": 2}
    reply = Reply(pieces=(_TEXT, Call(name=add.name, args=args)))
    for outcome in subject.each_path(lambda: subject.says(reply, output_version="v1").bind_tools([add]), paths=CHUNKED):
        content = outcome.answer.content
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        calls = [(block.get("name"), block.get("args")) for block in blocks if block.get("type") == "tool_call"]
        if calls != [(add.name, args)]:
            seen = ", ".join(json.dumps(dict(block), default=repr)[:120] for block in blocks)
            raise Failed(
                f"{outcome.path} of a text and a call gave the content [{seen}]",
                f"a tool_call block with the arguments {args}",
            )
        text = "".join(str(block.get("text")) for block in blocks if block.get("type") == "text")
        if text.strip() != _TEXT.strip():
            raise Failed(f"{outcome.path} gave the text {text!r} beside the call", repr(_TEXT))


@statement(
    "L03",
    "A standard message in the history puts its text and its tool call in the request, each once.",
    why="Servers reject a call that comes twice, and give wrong answers if one is missing.",
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
    call: Any = {"type": "tool_call", "name": "look_up", "args": {"word": argument}, "id": "call_langplug_1"}
    history: list[BaseMessage] = [
        HumanMessage("Look it up."),
        # The call is there twice, as `init_tool_calls` leaves it: as a block, and in `tool_calls`.
        AIMessage(
            [{"type": "text", "text": text}, call],
            tool_calls=[call],
            response_metadata={"output_version": "v1"},
        ),
        ToolMessage("It is nothing.", tool_call_id="call_langplug_1"),
        HumanMessage("Thank you."),
    ]
    outcome = subject.ask(subject.model(), history)
    if outcome.error is not None:
        raise Failed(f"a history with a standard message raised {error_text(outcome.error)}", "an answer")
    body = subject.exchanges[-1].body
    if not isinstance(body, Mapping) or "messages" not in body:
        raise NotApplicable("the request has no messages that could be read")
    sent = json.dumps(body["messages"], ensure_ascii=False)
    for what, marker in (("the text", text), ("the call", argument)):
        if (times := sent.count(marker)) != 1:
            raise Failed(f"{what} of the standard message is {times} times in the request: {sent:.300}", "once")


@statement(
    "L04",
    "`content_blocks` of a plain message equals the content of the standard one.",
    rank="could",
    why="They are two ways to read the same answer.",
    hint="""
    # put reasoning into additional_kwargs["reasoning_content"] and calls into tool_calls; and name a provider
    # in response_metadata["model_provider"] only if langchain-core's translator of that name fits your content
    """,
    link=_LINK,
    needs=("answer",),
)
def same_blocks(subject: Subject) -> None:
    """Compare them for a text and, where that can be chosen, for a text with a call."""
    replies: list[Reply | None] = [None]
    if not subject.lacks("replies") and not subject.lacks("tools"):
        replies.append(Reply(pieces=(_TEXT, Call(name=add.name, args={"a": 1, "b": 2}))))
    for reply in replies:
        messages = []
        with environment(_VARIABLE, None):
            for overrides in ({}, {"output_version": "v1"}):
                model: Any = subject.model(**overrides) if reply is None else subject.says(reply, **overrides)
                messages.append(subject.ask(model if reply is None else model.bind_tools([add])).answer)
        plain, standard = messages
        before, after = _without_ids(plain.content_blocks), _without_ids(standard.content)
        if before != after:
            raise Failed(
                f"content_blocks of the plain message: {before!r:.250}", f"as the standard content: {after!r:.250}"
            )


def _without_ids(blocks: Sequence[Any] | str) -> list[Any]:
    """The blocks without ids and indexes, which are different in each answer."""
    return [
        {name: item for name, item in block.items() if name not in ("id", "index", "extras")}
        if isinstance(block, dict)
        else block
        for block in blocks
    ]


@statement(
    "L05",
    "A model that declines says so in one `refusal` block of `content_blocks`, with all of its words, whole and "
    "streamed; the text is what it said besides.",
    why="Middleware and parsers look for that block; a refusal that is text, or nothing, is taken for an answer.",
    hint="""
    # OpenAI's `message.refusal`, and the pieces of `delta.refusal`, which `add_ai_message_chunks` joins
    AIMessage("", additional_kwargs={"refusal": text}, response_metadata={"model_provider": "openai"})
    # Anthropic's: `response_metadata` with stop_reason="refusal", its stop_details and model_provider="anthropic".
    # Any other: a content block, with the same `index` in each chunk of a stream
    AIMessageChunk([{"type": "refusal", "refusal": piece, "index": 0}])
    """,
    link="https://reference.langchain.com/python/langchain-core/messages/content/RefusalContentBlock",
    needs=("refusals",),
)
def refusal_blocks(subject: Subject) -> None:
    """Have it decline by each path, at once and after a text, and read the blocks."""
    # Not by version 3 of the events: langchain-core's bridge from chunks drops a refusal that stands alone.
    for text in ("", _TEXT):
        reply = Reply(text=text, refusal=DECLINED)
        for outcome in subject.each_path(partial(subject.says, reply), paths=FOUR):
            which = f"{outcome.path}{' after a text' if text else ''}"
            blocks: list[Any] = list(outcome.answer.content_blocks)
            if [block["refusal"] for block in blocks if block["type"] == "refusal"] != [DECLINED]:
                raise Failed(
                    f"{which}, a refusal gave the content_blocks {blocks!r:.250}",
                    f"one refusal block that says {DECLINED!r}",
                )
            if outcome.answer.text.strip() != text.strip():
                raise Failed(f"{which}, a refusal gave the text {outcome.answer.text!r}", repr(text))
