"""Group I: the calls in an answer, by every path."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from langplug_backend import Call, ChatRequest, Reply
from langplug_check.groups.i_tools import OFFERED, whole_call
from langplug_check.paths import PATHS, STREAMED, Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable

_CALLS = "https://docs.langchain.com/oss/python/langchain/models#tool-calling"

_ADD = {"a": 1, "b": 2}

_CALL_HINT = """
# a whole call
AIMessage(content=text, tool_calls=[ToolCall(name=name, args=json.loads(arguments), id=id or f"call_{uuid4().hex}")])
# a streamed one: the name and the id once, each piece of its arguments with the same int as index
AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name=name, args="", id=id, index=number)])
AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args=piece, index=number)])
"""

_INDEX_HINT = """
# number the calls of an answer: an int of its own for each, behind that of the text
AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name=name, args=arguments, id=id, index=1 + number)])
# AIMessageChunk(tool_calls=[...]) has no index, and version 3 of the events mixes such calls up
"""


def _calls(message: AIMessage) -> list[tuple[str, Any]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


def _answers(subject: Subject, reply: Any, paths: Sequence[PathName] = tuple(PATHS)) -> Iterator[Outcome]:
    """Ask a model with tools for this reply, by each path. It is the same model, so that ids can be compared."""
    bound = subject.says(reply).bind_tools(list(OFFERED))
    streams = any(map(subject.overrides, ("_stream", "_astream")))
    # langchain-core has no version 3 for a model that does not stream: that is other statements' business
    return subject.each_path(lambda: bound, paths=[path for path in paths if streams or path not in ("v3", "av3")])


def _expect_calls(outcome: Outcome, expected: list[tuple[str, Any]]) -> AIMessage:
    message = outcome.answer
    if _calls(message) != expected:
        invalid = f", and as invalid ones {message.invalid_tool_calls}" if message.invalid_tool_calls else ""
        raise Failed(f"{outcome.path} gave the calls {_calls(message)}{invalid}", f"{expected}")
    return message


@statement(
    "I03",
    "A call has a name, a dict of arguments, an id that is unique and not empty, and its type; it stands in the "
    "content blocks exactly once.",
    why="Agents link results to calls by id, and run each block that they are given.",
    hint=_CALL_HINT,
    link=_CALLS,
    needs=("tools", "replies"),
)
def calls_are_whole(subject: Subject) -> None:
    """Have the same tool called by each path, and compare the calls, their ids and their blocks."""
    ids: dict[str, str] = {}
    for outcome in _answers(subject, Reply(calls=(whole_call("add", _ADD),))):
        message = _expect_calls(outcome, [("add", _ADD)])
        (call,) = message.tool_calls
        if not isinstance(call["id"], str) or not call["id"].strip():
            raise Failed(f"{outcome.path} gave a call with the id {call['id']!r}", "a text that is not empty")
        if call["id"] in ids:
            raise Failed(f"{ids[call['id']]} and {outcome.path} gave calls with the same id, {call['id']!r}")
        ids[call["id"]] = outcome.path
        if call.get("type") != "tool_call":
            raise Failed(f"{outcome.path} gave a call of type {call.get('type')!r}", "'tool_call'")
        _expect_one_block(outcome.path, message)


def _expect_one_block(path: PathName, message: AIMessage) -> None:
    blocks = [block for block in message.content_blocks if "tool_call" in block["type"]]
    (call,) = message.tool_calls
    found = [(block["type"], block.get("name"), block.get("args"), block.get("id")) for block in blocks]
    expected = [("tool_call", call["name"], call["args"], call["id"])]
    if found != expected:
        raise Failed(f"the content blocks of {path} hold the calls {found}", f"{expected}")


_WHOLE_CALLS = ("langchain_groq", "langchain_mistralai")
"""Packages for APIs of OpenAI's kind that send each streamed call in one piece."""


@statement(
    "I04",
    "A streamed call comes in pieces with an int index, which name the tool and give the id once, and whose arguments "
    "add up to those of the call.",
    why="LangChain puts pieces together by their index: without one they stay apart, or run into each other.",
    hint=_INDEX_HINT,
    link=_CALLS,
    needs=("tools", "replies", "streaming"),
)
def pieces_fit(subject: Subject) -> None:
    """Have a tool called in a stream, and look at the pieces of the call, and at what they make."""
    reply = Reply(calls=(Call(name="add", args=_ADD, cut=0 if _sends_whole(subject.cls) else 4),))
    for outcome in _answers(subject, reply, STREAMED):
        _expect_calls(outcome, [("add", _ADD)])
        if not outcome.chunks:
            continue
        pieces = [piece for chunk in outcome.chunks for piece in getattr(chunk, "tool_call_chunks", ())]
        _expect_pieces(outcome.path, pieces)


def _sends_whole(cls: type) -> bool:
    return any(one.__module__.partition(".")[0] in _WHOLE_CALLS for one in cls.__mro__)


def _expect_pieces(path: PathName, pieces: Sequence[Any]) -> None:
    indices = {piece["index"] for piece in pieces}
    if not pieces:
        raise Failed(f"no chunk of {path} has a piece of the call", "tool_call_chunks")
    if len(indices) != 1 or not all(map(_is_index, indices)):
        raise Failed(f"the pieces of one call have the indices {sorted(indices, key=str)} in {path}", "one int for all")
    for name in ("name", "id"):
        given = [piece[name] for piece in pieces if piece[name]]
        if len(given) != 1:
            raise Failed(f"the pieces of one call give its {name} {len(given)} times in {path}: {given}", "once")
    args = "".join(piece["args"] or "" for piece in pieces)
    if _read(args) != _ADD:
        raise Failed(f"the pieces of the arguments add up to {args!r} in {path}", json.dumps(_ADD))


def _is_index(index: Any) -> bool:
    """langchain-core adds up by ints, and by texts that it made itself."""
    return (isinstance(index, int) and not isinstance(index, bool)) or str(index).startswith("lc_")


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@statement(
    "I05",
    "Parallel calls stay apart and in order by every path, each with an id of its own.",
    why="Most agents call several tools at once; a call that is lost or mixed with another is work done wrong.",
    hint=_INDEX_HINT,
    link=_CALLS,
    needs=("tools", "replies"),
)
def parallel_calls(subject: Subject) -> None:
    """Have three calls made at once, two of the same tool."""
    wanted: list[tuple[str, Any]] = [("add", _ADD), ("add", {"a": 3, "b": 4}), ("clock", {})]
    reply = Reply(calls=tuple(whole_call(name, args) for name, args in wanted))
    for outcome in _answers(subject, reply):
        message = _expect_calls(outcome, wanted)
        ids = [call["id"] for call in message.tool_calls]
        if len(set(ids)) != len(ids):
            raise Failed(f"{outcome.path} gave parallel calls with the ids {ids}", "an id of its own for each")


# --- what is no JSON ---

_CUT = '{"a": 1, "b": 2'
_GARBAGE = '{"a": one, "b": }'

_WHOLE_ALWAYS = ("ollama",)
"""Dialects in which arguments are objects, whole and of JSON."""

_WHOLE_AT_ONCE = ("anthropic", "cohere")
"""Dialects in which they are so in an answer that comes at once, and text only in a stream."""


@statement(
    "I06",
    "Arguments that are cut off or are no JSON end as `invalid_tool_calls`, without an exception, by every path.",
    why="A call that was cut off and looks whole is run with half its arguments.",
    hint="""
    # at once
    try:
        calls.append(parse_tool_call(raw))    # langchain_core.output_parsers.openai_tools
    except OutputParserException as error:
        invalid.append(make_invalid_tool_call(raw, str(error)))
    # in a stream, langchain-core completes what was cut off: hold a call's pieces back until json.loads() takes them or
    # the answer ends, and behind what it does not take add a bracket that closes nothing, which nobody can complete
    def beyond_completion(args: str) -> str:
        for end in ("]", '"]', "}"):
            with suppress(ValueError):
                if parse_partial_json(args + end) is not None:    # langchain_core.utils.json
                    continue
            return args + end
        return f"]{args}"
    """,
    link="https://github.com/langchain-ai/langchain/issues/39275",
    needs=("tools", "replies"),
)
def broken_calls(subject: Subject) -> None:
    """Have a call made whose arguments are cut off, and one whose arguments are no JSON, by each path."""
    completed: list[str] = []
    for reply in _broken_replies():
        args = str(reply.calls[0].args)
        for outcome in _answers(subject, reply):
            asked = subject.exchanges[-1].request if subject.exchanges else None
            if asked is None or _can_break(asked):
                completed += _taken_for_whole(outcome, args)
    if completed:
        raise Failed(
            f"arguments that were cut off, {_CUT!r}, are completed in a stream: {'; '.join(completed)}",
            "no call, and an invalid one",
            blame="langchain-core",
        )


def _broken_replies() -> Iterator[Reply]:
    yield Reply(calls=(whole_call("add", _GARBAGE),))
    yield Reply(calls=(whole_call("add", _CUT),), finish="length")


def _can_break(asked: ChatRequest) -> bool:
    if asked.dialect in _WHOLE_ALWAYS:
        raise NotApplicable("on its wire, arguments are objects: they arrive whole or not at all")
    return asked.streaming or asked.dialect not in _WHOLE_AT_ONCE


def _taken_for_whole(outcome: Outcome, args: str) -> Iterator[str]:
    """What langchain-core took for whole as it added the chunks up; all else that is wrong is the model's fault."""
    if outcome.error is not None:
        raise Failed(f"{outcome.path} raised {shown(outcome.error)} for the arguments {args!r}", "an invalid call")
    message = outcome.answer
    if outcome.path in ("stream", "astream") and args == _CUT and _calls(message) == [("add", _ADD)]:
        yield f"{outcome.path} gave the call {_calls(message)}"
        return
    if message.tool_calls:
        raise Failed(f"{outcome.path} made the calls {_calls(message)} of the arguments {args!r}", "an invalid call")
    broken = [(call["name"], call["args"]) for call in message.invalid_tool_calls]
    if len(broken) != 1 or broken[0][0] != "add" or not _holds_beginning(broken[0][1], args):
        raise Failed(f"{outcome.path} gave the invalid calls {broken}", f"{[('add', args)]}")


def _holds_beginning(found: Any, args: str) -> bool:
    return isinstance(found, str) and args[:6] in found


# --- text beside calls, arguments of every kind ---


@statement(
    "I07",
    "Text beside a call is kept, and so is the call, by every path and in the content blocks.",
    why="Models say what they are about to do; where pieces of both share a chunk, version 3 of the events loses some.",
    hint="""
    # text and calls never in one chunk: the text first, then the pieces of the calls
    AIMessageChunk(content=text)
    AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name=name, args=arguments, id=id, index=1)])
    """,
    link=_CALLS,
    needs=("tools", "replies"),
)
def text_beside_calls(subject: Subject) -> None:
    """Have something said and a tool called in one answer."""
    reply = Reply(text="Let me see.", calls=(whole_call("add", _ADD),))
    for outcome in _answers(subject, reply):
        message = _expect_calls(outcome, [("add", _ADD)])
        for what, text in (("the message's text", message.text), ("the text", outcome.text)):
            if text.strip() != "Let me see.":
                raise Failed(f"{what} is {text!r} in {outcome.path}", "'Let me see.'")
        kinds = [block["type"] for block in message.content_blocks if block["type"] in ("text", "tool_call")]
        if kinds != ["text", "tool_call"]:
            raise Failed(f"the content blocks of {outcome.path} are {kinds}", "['text', 'tool_call']")


_TRICKY: Mapping[str, Any] = {"what": '你好 👩‍👩‍👧 שלום é "quoted" \\ \n </tool> {"a": 1}'}


@statement(
    "I08",
    "A call of a tool without arguments has the arguments `{}`, and arguments in any script arrive as they were sent.",
    why="A tool without arguments is common, and escapes that are read twice, or not at all, spoil what users wrote.",
    hint="""
    args = json.loads(arguments or "{}")   # on the whole text, and never on pieces, which may end within an escape
    """,
    link=_CALLS,
    needs=("tools", "replies"),
)
def arguments_arrive(subject: Subject) -> None:
    """Have a tool called without arguments, and one with all that is hard to write, by each path."""
    for name, args in (("clock", {}), ("look", dict(_TRICKY))):
        for outcome in _answers(subject, Reply(calls=(whole_call(name, args),))):
            _expect_calls(outcome, [(name, args)])
