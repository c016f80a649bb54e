"""Group C: the messages of a conversation that goes into a call."""

import base64
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from langplug_backend import Exchange
from langplug_check.groups.c_input import CHECK_HINT
from langplug_check.paths import BUGS, PATHS, Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotObserved

_MESSAGES = "https://docs.langchain.com/oss/python/langchain/messages"

# --- kinds of messages ---

_CALL: Any = {"name": "add", "args": {"a": 1}, "id": "call_1", "type": "tool_call"}
_CALLS = AIMessage("", tool_calls=[_CALL])
_ASKS, _ENDS = HumanMessage("alpha"), HumanMessage("omega")

SHAPES: Mapping[str, Sequence[BaseMessage]] = {
    "a system message": [SystemMessage("sigma"), _ENDS],
    "several system messages": [SystemMessage("sigma"), SystemMessage("tau"), _ENDS],
    "a late system message": [_ASKS, AIMessage("beta"), SystemMessage("sigma"), _ENDS],
    "two human messages in a row": [_ASKS, _ENDS],
    "an AI message first": [AIMessage("beta"), _ENDS],
    "an AI message last": [_ASKS, AIMessage("beta")],
    "calls beside content ''": [_ASKS, _CALLS, ToolMessage("gamma", tool_call_id="call_1"), _ENDS],
    "calls beside content []": [
        _ASKS,
        AIMessage([], tool_calls=[_CALL]),
        ToolMessage("gamma", tool_call_id="call_1"),
        _ENDS,
    ],
    "invalid calls": [
        _ASKS,
        AIMessage("beta", invalid_tool_calls=[{"name": "add", "args": "{", "id": "call_1", "error": None}]),
        ToolMessage("gamma", tool_call_id="call_1", status="error"),
        _ENDS,
    ],
    "a tool message with a list": [
        _ASKS,
        _CALLS,
        ToolMessage(["gamma", {"type": "text", "text": "delta"}], tool_call_id="call_1"),
        _ENDS,
    ],
    "a tool message with an error": [
        _ASKS,
        _CALLS,
        ToolMessage("gamma", tool_call_id="call_1", status="error"),
        _ENDS,
    ],
    "a function message": [
        _ASKS,
        AIMessage("", additional_kwargs={"function_call": {"name": "add", "arguments": "{}"}}),
        FunctionMessage(content="gamma", name="add"),
        _ENDS,
    ],
    "a ChatMessage of role 'user'": [ChatMessage(content="alpha", role="user")],
    "message chunks": [
        SystemMessageChunk(content="sigma"),
        HumanMessageChunk(content="alpha"),
        AIMessageChunk(content="beta"),
        HumanMessageChunk(content="omega"),
    ],
    "a chunk of a tool message": [_ASKS, _CALLS, ToolMessageChunk(content="gamma", tool_call_id="call_1"), _ENDS],
    "a chunk of a ChatMessage": [ChatMessageChunk(content="alpha", role="user")],
    "names": [HumanMessage("alpha", name="ann"), AIMessage("beta", name="bob"), HumanMessage("omega", name="ann")],
    "content of text and blocks": [HumanMessage(["alpha", {"type": "text", "text": "omega"}])],
    "AI content of text and blocks": [_ASKS, AIMessage(["beta", {"type": "text", "text": "gamma"}]), _ENDS],
    "a reasoning block": [
        _ASKS,
        AIMessage([{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "beta"}]),
        _ENDS,
    ],
    "a v1 message with a call": [
        _ASKS,
        AIMessage(content_blocks=[{"type": "text", "text": "beta"}, _CALL], response_metadata={"output_version": "v1"}),
        ToolMessage("gamma", tool_call_id="call_1"),
        _ENDS,
    ],
    "Anthropic's blocks": [
        _ASKS,
        AIMessage(
            [
                {"type": "text", "text": "beta"},
                {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
            ],
            tool_calls=[_CALL],
        ),
        ToolMessage("gamma", tool_call_id="call_1"),
        _ENDS,
    ],
}
"""Histories such as other models and agents leave them, each text of its own."""


@statement(
    "C11",
    "Every legal history is taken, and its texts arrive in order: system messages several and late, AI first or last, "
    "calls and results, functions, chunks, names, lists of text and blocks, v1 and other providers' blocks.",
    why="Histories come from other models, from agents that trim, and from checkpoints.",
    hint="""
    text = message.text                    # of strings, lists of strings, and lists of text blocks alike
    roles = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant", ToolMessage: "tool"}
    role = next(role for kind, role in roles.items() if isinstance(message, kind))   # chunks are of these classes, too
    # FunctionMessage -> tool; ChatMessage -> its role; `content` None or [] beside tool calls -> ""
    """,
    link=_MESSAGES,
    needs=("answer",),
    limit_s=60.0,
)
def legal_histories(subject: Subject) -> str:
    """Give it each, and look for the texts in what arrives, where that can be seen."""
    model, problems = subject.model(), []
    for name, history in SHAPES.items():
        outcome = subject.ask(model, copy.deepcopy(list(history)))
        problem = _refusal(outcome) or _loss(subject, history)
        if problem:
            problems.append(f"{name} {problem}")
    if problems:
        raise Failed(f"{len(problems)} of {len(SHAPES)} histories: {'; '.join(problems)}", "each is taken, whole")
    return f"{len(SHAPES)} histories" + (
        ", of which it cannot be seen what arrived" if subject.lacks("requests") else ""
    )


def _refusal(outcome: Outcome) -> str:
    return f"raised {shown(outcome.error):.110}" if outcome.error else ""


def _loss(subject: Subject, history: Sequence[BaseMessage]) -> str:
    if subject.lacks("requests"):
        return ""
    if not subject.exchanges:
        return "did not reach what answers"
    rest = "\n".join(_strings(_heard(subject, subject.exchanges[-1])))
    for lost in (text for message in history for text in _texts(message) if text not in rest):
        return f"loses {lost!r}"
    for text in (text for message in history if message.type != "system" for text in _texts(message)):
        if text not in rest:  # a server may have its system texts in a place of their own
            return f"has {text!r} in the wrong order"
        rest = rest[rest.index(text) + len(text) :]
    return ""


def _heard(subject: Subject, exchange: Exchange) -> Any:
    """What arrived: the body that was sent to a server, or the messages that a function was given."""
    if not subject.lacks("backend"):
        return exchange.body
    return [said.text for said in exchange.request.messages] if exchange.request else []


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _strings(one)


def _texts(message: BaseMessage) -> list[str]:
    content = [message.content] if isinstance(message.content, str) else message.content
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in content]
    return [text for text in texts if text]


class _Strange(BaseMessage):
    """A message of a type that nobody knows."""

    type: str = "strange"


@statement(
    "C12",
    "`RemoveMessage` and messages of an unknown type are refused with a clear error.",
    why="Control messages of LangGraph leak into histories; what is skipped, or sent as text, misleads the model.",
    hint=CHECK_HINT,
    link=_MESSAGES,
    needs=("answer",),
)
def strange_messages(subject: Subject) -> str:
    """Put one of each into a history."""
    told = ""
    for stranger, word in ((RemoveMessage(id="1"), "remove"), (_Strange(content="hello"), "strange")):
        outcome = subject.ask(subject.model(), [HumanMessage("alpha"), stranger, HumanMessage(subject.prompt)])
        name = type(stranger).__name__.lstrip("_")
        if outcome.error is None:
            raise Failed(f"a history with a {name} was answered with {outcome.text!r:.60}", "an error")
        words = str(outcome.error).casefold()
        if isinstance(outcome.error, BUGS) or (word not in words and "type" not in words and "role" not in words):
            raise Failed(f"a history with a {name} raised {shown(outcome.error)}", "an error that says what is wrong")
        told = told or shown(outcome.error)
    return told


_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # a PNG of one
)


def _marked(word: str) -> str:
    return base64.b64encode(f"langplug-check-{word}".encode()).decode()


MEDIA: Mapping[str, tuple[dict[str, Any], str]] = {
    "image": ({"type": "image", "base64": _PIXEL, "mime_type": "image/png"}, _PIXEL),
    "image_url": ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}, _PIXEL),
    "audio": ({"type": "audio", "base64": _marked("audio"), "mime_type": "audio/wav"}, _marked("audio")),
    "video": ({"type": "video", "base64": _marked("video"), "mime_type": "video/mp4"}, _marked("video")),
    "file": (
        {"type": "file", "base64": _marked("file"), "mime_type": "application/pdf", "filename": "a.pdf"},
        _marked("file"),
    ),
    "non_standard": ({"type": "non_standard", "value": {"langplug": "check-odd"}}, "check-odd"),
}
"""Content beside text, each with what it is known by."""


@statement(
    "C13",
    "Content that it cannot take, such as an image, audio, a file or a video, is refused or forwarded, and never "
    "silently dropped.",
    why="Else the model answers about a picture that it never saw.",
    hint=CHECK_HINT,
    link=f"{_MESSAGES}#multimodal",
    needs=("answer",),
)
def nothing_dropped(subject: Subject) -> str:
    """Ask about one of each, and search what arrives, or what an echo says, for its data."""
    model = subject.model()
    refused, fates = [], dict[str, list[str]](taken=[], dropped=[], unseen=[])
    for name, (block, data) in MEDIA.items():
        given = [HumanMessage([{"type": "text", "text": subject.prompt}, block])]
        outcome = subject.ask(model, given)
        if outcome.error is not None:
            refused.append(f"{name} ({type(outcome.error).__name__})")
            continue
        arrived = _arrived(subject, outcome, data)
        fates["unseen" if arrived is None else "taken" if arrived else "dropped"].append(name)
    if dropped := fates["dropped"]:
        raise Failed(f"asked about content of type {', '.join(dropped)}, it answers, though the content did not arrive")
    if unseen := fates["unseen"]:
        raise NotObserved(f"it answers to {', '.join(unseen)}, and what arrived cannot be seen")
    return f"forwarded: {', '.join(fates['taken']) or 'none'}; refused: {', '.join(refused) or 'none'}"


def _arrived(subject: Subject, outcome: Outcome, data: str) -> bool | None:
    """Whether the content arrived; None where that cannot be seen."""
    if not subject.lacks("requests"):
        exchange = subject.exchanges[-1]
        return data in repr(exchange.body if not subject.lacks("backend") else exchange.request)
    return data in repr(outcome.message) if subject.voice.name == "echo" else None


# --- the conversation ---

HISTORY: Sequence[tuple[str, BaseMessage]] = (
    ("system", SystemMessage("Be kind.")),
    ("human", HumanMessage("What is one?")),
    ("ai", AIMessage("One is a number.")),
    ("human", HumanMessage("And two?")),
    ("ai", AIMessage("Two is another.")),
    ("human", HumanMessage("And three?")),
)

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "USER"), "human"),
    **dict.fromkeys(("assistant", "ai", "model", "CHATBOT"), "ai"),
}
"""What the roles of the wires mean."""


@statement(
    "C20",
    "The whole history arrives, in order, with its roles, and the system's text is not lost.",
    why="What is lost without a word is context: the model answers, and wrongly.",
    hint="""
    role = {"human": "user", "ai": "assistant"}.get(message.type, message.type)
    sent = [{"role": role, "content": message.text} for message in messages]   # all of them, not messages[-1]
    """,
    needs=("requests",),
)
def whole_history(subject: Subject) -> None:
    """Give it a history of six messages by each path, and look at what arrives."""
    expected = [(role, message.text) for role, message in HISTORY]
    model = subject.model()
    for outcome in subject.each_path(lambda: model, [message for _, message in HISTORY]):
        _ = outcome.answer
        found = [(ROLES.get(said.role, said.role), said.text) for said in _said(subject)]
        if found != expected:
            missing = [text for pair in expected if pair not in found for text in [": ".join(pair)]]
            lost = f"without {missing}" if missing else "in another order"
            raise Failed(f"by {outcome.path}, the history arrived {lost}: {_brief(found)}", _brief(expected))


def _said(subject: Subject) -> Sequence[Any]:
    asked = subject.exchanges[-1].request if subject.exchanges else None
    return asked.messages if asked else ()


def _brief(said: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{role}: {text}" for role, text in said) or "nothing"


_SPOKEN = "One is a number."


@statement(
    "C14",
    "Its own answer, of `invoke`, `stream` or v3, arrives with the same text as it is fed back.",
    why="Every conversation and every agent does that with each answer.",
    hint="""
    content = message.text   # a v1 message has a list of blocks as its content, others a string
    """,
    link=_MESSAGES,
    needs=("requests", "text"),
)
def fed_back(subject: Subject) -> None:
    """Ask by each path, in both formats of output, and give it a history with the answer."""
    problems = []
    for version in ("v0", "v1"):
        model = subject.says(_SPOKEN, output_version=version)
        for path in PATHS:
            found = _heard_again(subject, model, path)
            if found != _SPOKEN:
                problems.append(f"{path} with output_version={version!r}: {found!r:.80}")
    if problems:
        raise Failed(f"fed back, the text arrives otherwise: {'; '.join(problems)}", repr(_SPOKEN))


def _heard_again(subject: Subject, model: Any, path: PathName) -> Any:
    answer = subject.ask(model, None, path).answer
    outcome = subject.ask(model, [HumanMessage("What is one?"), answer, HumanMessage("And two?")])
    if outcome.error is not None:
        return shown(outcome.error)
    return next((said.text for said in _said(subject) if ROLES.get(said.role) == "ai"), "no message of the model's")
