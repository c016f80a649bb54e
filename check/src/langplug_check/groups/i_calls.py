"""Group I: the calls in an answer, by every path."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage

from langplug_backend import Call, Reply
from langplug_check.groups._tools import OFFERED, whole_call
from langplug_check.paths import PATHS, STREAMED, Outcome, PathName, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable

_CALLS = "https://docs.langchain.com/oss/python/langchain/models#tool-calling"

_ADD = {"a": 1, "b": 2}

_CALL_HINT = """
# a whole call
AIMessage(content=text, tool_calls=[ToolCall(name=name, args=json.loads(arguments), id=id or f"call_{uuid4().hex}")])
# a streamed call: the name and the id once, and every piece of its arguments with the same int as index
AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name=name, args="", id=id, index=number)])
AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args=piece, index=number)])
"""

_INDEX_HINT = """
# number the calls of an answer: an int of its own for each, after that of the text
AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name=name, args=arguments, id=id, index=1 + number)])
# AIMessageChunk(tool_calls=[...]) has no index, and version 3 of the events mixes such calls up
"""


def _outcomes(subject: Subject, reply: Any, paths: Sequence[PathName] = tuple(PATHS)) -> Iterator[Outcome]:
    """Ask a model with tools for this reply, by each path. It is the same model, so that ids can be compared."""
    bound = subject.says(reply).bind_tools(list(OFFERED))
    return subject.each_path(lambda: bound, paths=[path for path in paths if path in subject.paths])


def _calls(message: AIMessage) -> list[tuple[str, Any]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


def _check_calls(outcome: Outcome, expected: list[tuple[str, Any]]) -> AIMessage:
    """Fail unless the message has these calls, in this order; the message."""
    message = outcome.answer
    if _calls(message) != expected:
        invalid = f", and as invalid ones {message.invalid_tool_calls}" if message.invalid_tool_calls else ""
        raise Failed(f"{outcome.path} gave the calls {_calls(message)}{invalid}", f"{expected}")
    return message


@statement(
    "I03",
    "A call has a name, a dict of arguments, an id that is unique and not empty, and its type; it is in the content "
    "blocks exactly once.",
    rank="must",
    why="Agents link results to calls by id, and run each block that they are given.",
    hint=_CALL_HINT,
    link=_CALLS,
    needs=("tools", "replies"),
)
def calls_are_whole(subject: Subject) -> None:
    """Have the same tool called by each path, and compare the calls, their ids and their blocks."""
    ids: dict[str, str] = {}
    for outcome in _outcomes(subject, Reply(calls=(whole_call("add", _ADD),))):
        message = _check_calls(outcome, [("add", _ADD)])
        (call,) = message.tool_calls
        # langchain-tests asks for an id that is not None, which '' and a constant pass. LangGraph's ToolNode matches
        # results to calls by it.
        call_id = call["id"]
        if not isinstance(call_id, str) or not call_id.strip():
            raise Failed(f"{outcome.path} gave a call with the id {call_id!r}", "a text that is not empty")
        if call_id in ids:
            raise Failed(f"{ids[call_id]} and {outcome.path} gave calls with the same id, {call_id!r}")
        ids[call_id] = outcome.path
        if call.get("type") != "tool_call":
            raise Failed(f"{outcome.path} gave a call of type {call.get('type')!r}", "'tool_call'")
        # `AIMessage.content_blocks` adds the calls that the content does not have: a content block with another id than
        # its call's appears beside it.
        blocks = [block for block in message.content_blocks if "tool_call" in block["type"]]
        found = [(block["type"], block.get("name"), block.get("args"), block.get("id")) for block in blocks]
        expected = [("tool_call", call["name"], call["args"], call_id)]
        if found != expected:
            raise Failed(f"the content blocks of {outcome.path} hold the calls {found}", f"{expected}")


_WHOLE_CALLS = ("langchain_groq", "langchain_mistralai")
"""Packages for APIs like OpenAI's that send each streamed call in one piece."""


@statement(
    "I04",
    "A streamed call comes in pieces with an int index, which give the tool's name and the id once, and whose "
    "arguments add up to those of the call.",
    why="LangChain merges pieces by their index: without one they stay apart, or run into each other.",
    hint=_INDEX_HINT,
    link=_CALLS,
    needs=("tools", "replies", "streaming"),
)
def pieces_fit(subject: Subject) -> None:
    """Have a tool called in a stream, and look at the pieces of the call, and at their sum."""
    sends_whole = any(cls.__module__.partition(".")[0] in _WHOLE_CALLS for cls in subject.cls.__mro__)
    reply = Reply(calls=(Call(name="add", args=_ADD, cut=0 if sends_whole else 4),))
    for outcome in _outcomes(subject, reply, STREAMED):
        _check_calls(outcome, [("add", _ADD)])
        if outcome.chunks:
            chunks = [getattr(chunk, "tool_call_chunks", ()) for chunk in outcome.chunks]
            _check_pieces(outcome.path, [piece for pieces in chunks for piece in pieces])


def _check_pieces(path: PathName, pieces: Sequence[Any]) -> None:
    """Fail unless these are the pieces of one call of `add`."""
    if not pieces:
        raise Failed(f"no chunk of {path} has a piece of the call", "tool_call_chunks")
    # `merge_lists` merges by an int, or by a text that langchain-core made itself, and by nothing else. True is an int,
    # and equals 1.
    indices = {piece["index"] for piece in pieces}
    ints = [index for index in indices if isinstance(index, int) and not isinstance(index, bool)]
    own = [index for index in indices if str(index).startswith("lc_")]
    if len(indices) != 1 or not (ints or own):
        raise Failed(f"the pieces of one call have the indices {sorted(indices, key=str)} in {path}", "one int for all")
    # `merge_dicts` concatenates: a name in each piece makes `addadd` of it (lc#22589).
    for name in ("name", "id"):
        given = [piece[name] for piece in pieces if piece[name]]
        if len(given) != 1:
            raise Failed(f"the pieces of one call give its {name} {len(given)} times in {path}: {given}", "once")
    args, parsed = "".join(piece["args"] or "" for piece in pieces), None
    with suppress(ValueError):
        parsed = json.loads(args)
    if parsed != _ADD:
        raise Failed(f"the pieces of the arguments add up to {args!r} in {path}", json.dumps(_ADD))


@statement(
    "I05",
    "Parallel calls stay apart and in order by every path, each with an id of its own.",
    rank="must",
    why="Most agents call several tools at once; a call that is lost or mixed with another is work done wrong.",
    hint=_INDEX_HINT,
    link=_CALLS,
    needs=("tools", "replies"),
)
def parallel_calls(subject: Subject) -> None:
    """Have three calls made at once, two of the same tool."""
    # Two of the same tool: code that keys calls by name passes otherwise. langchain-tests has single calls only.
    wanted: list[tuple[str, Any]] = [("add", _ADD), ("add", {"a": 3, "b": 4}), ("clock", {})]
    reply = Reply(calls=tuple(whole_call(name, args) for name, args in wanted))
    for outcome in _outcomes(subject, reply):
        message = _check_calls(outcome, wanted)
        ids = [call["id"] for call in message.tool_calls]
        if len(set(ids)) != len(ids):
            raise Failed(f"{outcome.path} gave parallel calls with the ids {ids}", "an id of its own for each")


# --- arguments that are not JSON ---

_CUT = '{"a": 1, "b": 2'
_GARBAGE = '{"a": one, "b": }'

_WHOLE_ALWAYS = ("ollama",)
"""Dialects in which arguments are objects: they arrive whole, and as JSON."""

_WHOLE_AT_ONCE = ("anthropic", "cohere")
"""Dialects in which arguments are objects in a whole answer, and text only in a stream."""


@statement(
    "I06",
    "Arguments that are cut off or are not JSON become `invalid_tool_calls`, without an exception, by every path.",
    why="A call that was cut off and looks whole is run with half its arguments.",
    hint="""
    # at once
    try:
        calls.append(parse_tool_call(raw))    # langchain_core.output_parsers.openai_tools
    except OutputParserException as error:
        invalid.append(make_invalid_tool_call(raw, str(error)))
    # in a stream, langchain-core completes what was cut off: hold a call's pieces back until json.loads() takes them or
    # the answer ends, and append to what it does not take a bracket that closes nothing, which nobody can complete
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
    """Have a call made whose arguments are cut off, and one whose arguments are not JSON, by each path."""
    completed: list[str] = []
    for args, finish in ((_GARBAGE, None), (_CUT, "length")):
        for outcome in _outcomes(subject, Reply(calls=(whole_call("add", args),), finish=finish)):
            request = subject.exchanges[-1].request if subject.exchanges else None
            if request is not None and request.dialect in _WHOLE_ALWAYS:
                raise NotApplicable("in its API, arguments are objects: they arrive whole or not at all")
            if request is not None and request.dialect in _WHOLE_AT_ONCE and not request.streaming:
                continue
            if _is_completed(outcome, args):
                completed.append(f"{outcome.path} gave the call {_calls(outcome.answer)}")
    if completed:
        raise Failed(
            f"arguments that were cut off, {_CUT!r}, are completed in a stream: {'; '.join(completed)}",
            "no call, and an invalid one",
            blame="langchain-core",
        )


def _is_completed(outcome: Outcome, args: str) -> bool:
    """Whether langchain-core completed the arguments as it added up the chunks. All else that is wrong is a failure.

    `AIMessageChunk.init_tool_calls` parses the sum by `parse_partial_json`, which closes what is open. Version 3 of the
    events does not, so there it is the model's fault.
    """
    if outcome.error is not None:
        raise Failed(f"{outcome.path} raised {error_text(outcome.error)} for the arguments {args!r}", "an invalid call")
    message = outcome.answer
    if outcome.path in ("stream", "astream") and args == _CUT and _calls(message) == [("add", _ADD)]:
        return True
    if message.tool_calls:
        raise Failed(f"{outcome.path} made the calls {_calls(message)} of the arguments {args!r}", "an invalid call")
    # The beginning is enough: a model may have to append something, see the hint.
    broken = [(call["name"], call["args"]) for call in message.invalid_tool_calls]
    if len(broken) != 1 or broken[0][0] != "add" or args[:6] not in (broken[0][1] or ""):
        raise Failed(f"{outcome.path} gave the invalid calls {broken}", f"{[('add', args)]}")
    return False


# --- text beside calls, arguments of every kind ---


@statement(
    "I07",
    "Text beside a call is kept, and so is the call, by every path and in the content blocks.",
    why="Models say what they are about to do; if a chunk has pieces of both, version 3 of the events loses some.",
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
    for outcome in _outcomes(subject, reply):
        message = _check_calls(outcome, [("add", _ADD)])
        for what, text in (("the message's text", message.text), ("the text", outcome.text)):
            if text.strip() != "Let me see.":
                raise Failed(f"{what} is {text!r} in {outcome.path}", "'Let me see.'")
        kinds = [block["type"] for block in message.content_blocks if block["type"] in ("text", "tool_call")]
        if kinds != ["text", "tool_call"]:
            raise Failed(f"the content blocks of {outcome.path} are {kinds}", "['text', 'tool_call']")


_TRICKY: Mapping[str, Any] = {"what": '你好 👩‍👩‍👧 שלום é "quoted" \\ \n </tool> {"a": 1}'}
"""Everything that a parser of calls may trip over, the markup of calls in text included."""


@statement(
    "I08",
    "A call of a tool without arguments has the arguments `{}`, and arguments in any script arrive as they were sent.",
    why="Tools without arguments are common, and escapes that are decoded twice, or not at all, corrupt what users "
    "wrote.",
    hint="""
    args = json.loads(arguments or "{}")   # on the whole text, never on pieces, which may end within an escape
    """,
    link=_CALLS,
    needs=("tools", "replies"),
)
def arguments_arrive(subject: Subject) -> None:
    """Have a tool called without arguments, and one with text that is hard to encode, by each path."""
    for name, args in (("clock", {}), ("look", dict(_TRICKY))):
        for outcome in _outcomes(subject, Reply(calls=(whole_call(name, args),))):
            _check_calls(outcome, [(name, args)])
