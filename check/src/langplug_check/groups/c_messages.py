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

from langplug_check.paths import BUGS, PATHS, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotObserved

_MESSAGES = "https://docs.langchain.com/oss/python/langchain/messages"

_CHECK_HINT = """
def _check_messages(self, messages: list[BaseMessage]) -> None:   # first thing in `_generate` and `_stream`
    known = (SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage)
    sendable = ("text", "reasoning", "thinking", "tool_call", "tool_use")   # and "image", ... where you send them on
    if not messages:
        raise ValueError("AcmeChat got no messages: give it at least one.")
    for n, message in enumerate(messages):
        if not isinstance(message, known):
            raise ValueError(f"AcmeChat cannot take messages[{n}], a {type(message).__name__}.")
        for block in message.content if isinstance(message.content, list) else []:
            if isinstance(block, dict) and block.get("type") not in sendable:
                raise ValueError(f"AcmeChat cannot take the {block.get('type')!r} block in messages[{n}].")
"""

# --- kinds of messages ---


@statement(
    "C07",
    "An empty list of messages is a clear error, which `on_llm_error` reports.",
    rank="could",
    why="Agents that trim their history too far send one, and an `IndexError` tells nobody why.",
    hint=_CHECK_HINT,
    link=_MESSAGES,
)
def no_messages(subject: Subject) -> str:
    """Give it no messages, on each path."""
    model, errors = subject.model(), []
    for outcome in subject.each_path(lambda: model, []):
        call = f"{outcome.path} of no messages"
        if outcome.error is None:
            raise Failed(f"{call} was answered with {outcome.text!r:.60}", "an error")
        if isinstance(outcome.error, (*BUGS, TypeError)) or not str(outcome.error).strip():
            raise Failed(
                f"{call} raised {error_text(outcome.error)}", "an error that says what is missing: a ValueError"
            )
        # Raised within the run: a check in `invoke` itself would leave no trace of the call.
        if outcome.recorder.kinds != ["start", "error"]:
            raise Failed(
                f"{call} raised {type(outcome.error).__name__}, and callbacks saw {outcome.recorder.kinds}",
                "['start', 'error']",
            )
        errors.append(error_text(outcome.error))
    return errors[0]


_CALL: Any = {"name": "add", "args": {"a": 1}, "id": "call_1", "type": "tool_call"}
_CALLS = AIMessage("", tool_calls=[_CALL])
_ASKS, _ENDS = HumanMessage("alpha"), HumanMessage("omega")

SHAPES: Mapping[str, Sequence[BaseMessage]] = {
    "a system message": [SystemMessage("sigma"), _ENDS],
    "several system messages": [SystemMessage("sigma"), SystemMessage("tau"), _ENDS],
    "a late system message": [_ASKS, AIMessage("beta"), SystemMessage("sigma"), _ENDS],
    # ChatHuggingFace refuses the next three: it wants roles that take turns, and a human last (lc#16992, lc#15232).
    "two human messages in a row": [_ASKS, _ENDS],
    "an AI message first": [AIMessage("beta"), _ENDS],
    "an AI message last": [_ASKS, AIMessage("beta")],
    # Beside calls the content is mostly empty: "" or [], depending on the model that made them.
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
    # Before tools there were functions: old checkpoints have them.
    "a function message": [
        _ASKS,
        AIMessage("", additional_kwargs={"function_call": {"name": "add", "arguments": "{}"}}),
        FunctionMessage(content="gamma", name="add"),
        _ENDS,
    ],
    "a ChatMessage of role 'user'": [ChatMessage(content="alpha", role="user")],
    # Chunks are messages too, and get into a history wherever a stream's sum is kept as it is.
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
    # What ChatAnthropic returns: each call twice, as a block and in `tool_calls`.
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
    "Every legal history is taken, and its texts arrive in order: several or late system messages, AI first or last, "
    "calls and results, functions, chunks, names, lists of text and blocks, v1 and other providers' blocks.",
    why="Histories come from other models, from agents that trim, and from checkpoints.",
    hint="""
    text = message.text                    # for strings, lists of strings, and lists of text blocks alike
    roles = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant", ToolMessage: "tool"}
    role = next(role for kind, role in roles.items() if isinstance(message, kind))   # chunks are subclasses of these
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
        if outcome.error is not None:
            problems.append(f"{name} raised {error_text(outcome.error):.110}")
        elif not subject.lacks("requests") and (loss := _loss(subject, history)):
            problems.append(f"{name} {loss}")
    if problems:
        raise Failed(f"{len(problems)} of {len(SHAPES)} histories: {'; '.join(problems)}", "each is taken, whole")
    unseen = "; what arrives of them cannot be seen" if subject.lacks("requests") else ""
    return f"{len(SHAPES)} histories{unseen}"


def _loss(subject: Subject, history: Sequence[BaseMessage]) -> str:
    """What the last request lost of a history; empty if it has all texts, in order."""
    if not subject.exchanges:
        return "did not reach the backend"
    exchange = subject.exchanges[-1]
    messages = exchange.request.messages if exchange.request else ()
    # All strings of the body, since every API has its own place for results, names and calls. A function in this
    # process has no body, only messages.
    arrived = [said.text for said in messages] if subject.lacks("backend") else exchange.body
    rest = "\n".join(_strings(arrived))
    for lost in (text for message in history for text in _texts(message) if text not in rest):
        return f"loses {lost!r}"
    # Without the system's: Anthropic's API, for one, has a field of its own for them, outside the messages.
    for text in (text for message in history if message.type != "system" for text in _texts(message)):
        if text not in rest:
            return f"has {text!r} in the wrong order"
        rest = rest[rest.index(text) + len(text) :]
    return ""


def _strings(value: Any) -> Iterator[str]:
    """Every string in nested mappings and lists."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _strings(one)


def _texts(message: BaseMessage) -> list[str]:
    """The texts of a message's content."""
    content = [message.content] if isinstance(message.content, str) else message.content
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in content]
    return [text for text in texts if text]


class _Strange(BaseMessage):
    """A message of an unknown type."""

    type: str = "strange"


@statement(
    "C12",
    "`RemoveMessage` and messages of an unknown type are refused with a clear error.",
    rank="could",
    why="Control messages of LangGraph leak into histories; if one is skipped, or sent as text, it misleads the model.",
    hint=_CHECK_HINT,
    link=_MESSAGES,
    needs=("answer",),
)
def strange_messages(subject: Subject) -> str:
    """Put one of each into a history."""
    refusal = ""
    for stranger, word in ((RemoveMessage(id="1"), "remove"), (_Strange(content="hello"), "strange")):
        outcome = subject.ask(subject.model(), [HumanMessage("alpha"), stranger, HumanMessage(subject.prompt)])
        name = type(stranger).__name__.lstrip("_")
        if outcome.error is None:
            raise Failed(f"a history with a {name} was answered with {outcome.text!r:.60}", "an error")
        # ChatAnthropic raises KeyError('remove') here: the word alone explains nothing, so bugs are no refusals.
        words = str(outcome.error).casefold()
        if isinstance(outcome.error, BUGS) or (word not in words and "type" not in words and "role" not in words):
            raise Failed(
                f"a history with a {name} raised {error_text(outcome.error)}", "an error that says what is wrong"
            )
        refusal = refusal or error_text(outcome.error)
    return refusal


# A PNG of one pixel: some classes decode an image before they send it.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def _base64_mark(word: str) -> str:
    return base64.b64encode(f"langplug-check-{word}".encode()).decode()


MEDIA: Mapping[str, tuple[dict[str, Any], str]] = {
    "image": ({"type": "image", "base64": _PIXEL, "mime_type": "image/png"}, _PIXEL),
    "image_url": ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}, _PIXEL),
    "audio": ({"type": "audio", "base64": _base64_mark("audio"), "mime_type": "audio/wav"}, _base64_mark("audio")),
    "video": ({"type": "video", "base64": _base64_mark("video"), "mime_type": "video/mp4"}, _base64_mark("video")),
    "file": (
        {"type": "file", "base64": _base64_mark("file"), "mime_type": "application/pdf", "filename": "a.pdf"},
        _base64_mark("file"),
    ),
    "non_standard": ({"type": "non_standard", "value": {"langplug": "check-odd"}}, "check-odd"),
}
"""Content other than text: a block, and the data by which it is recognised in a request."""


@statement(
    "C13",
    "Content that it cannot take, such as an image, audio, a file or a video, is refused or forwarded, and never "
    "silently dropped.",
    rank="must",
    why="Otherwise the model answers about a picture that it never saw.",
    hint=_CHECK_HINT,
    link=f"{_MESSAGES}#multimodal",
    needs=("answer",),
)
def nothing_dropped(subject: Subject) -> str:
    """Ask about one of each, and search what arrives, or what an echo says, for its data."""
    model = subject.model()
    refused, forwarded, dropped, unseen = (list[str]() for _ in range(4))
    for name, (block, data) in MEDIA.items():
        outcome = subject.ask(model, [HumanMessage([{"type": "text", "text": subject.prompt}, block])])
        if outcome.error is not None:
            refused.append(f"{name} ({type(outcome.error).__name__})")
        elif not subject.lacks("requests"):
            exchange = subject.exchanges[-1]
            arrived = repr(exchange.request if subject.lacks("backend") else exchange.body)
            (forwarded if data in arrived else dropped).append(name)
        elif subject.driver.name == "echo":
            (forwarded if data in repr(outcome.message) else dropped).append(name)
        else:
            unseen.append(name)
    if dropped:
        raise Failed(f"asked about content of type {', '.join(dropped)}, it answers, though the content did not arrive")
    if unseen:
        raise NotObserved(f"it answers to {', '.join(unseen)}, and what arrived cannot be seen")
    return f"forwarded: {', '.join(forwarded) or 'none'}; refused: {', '.join(refused) or 'none'}"


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
"""The roles of the various APIs, as types of LangChain's messages."""


@statement(
    "C20",
    "The whole history arrives, in order and with its roles, system messages included.",
    rank="must",
    why="Context that is lost without a word leads to wrong answers.",
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
        found = [(ROLES.get(said.role, said.role), said.text) for said in _last_messages(subject)]
        if found != expected:
            missing = [": ".join(pair) for pair in expected if pair not in found]
            lost = f"without {missing}" if missing else "in another order"
            raise Failed(f"by {outcome.path}, the history arrived {lost}: {_brief(found)}", _brief(expected))


def _last_messages(subject: Subject) -> Sequence[Any]:
    """The messages of the last request."""
    request = subject.exchanges[-1].request if subject.exchanges else None
    return request.messages if request else ()


def _brief(said: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{role}: {text}" for role, text in said) or "nothing"


_SPOKEN = "One is a number."


@statement(
    "C14",
    "Its own answer, from `invoke`, `stream` or v3, arrives with the same text when it is fed back.",
    why="Every conversation and every agent feeds each answer back.",
    hint="""
    content = message.text   # a v1 message has a list of blocks as its content, others a string
    """,
    link=_MESSAGES,
    needs=("requests", "text"),
)
def fed_back(subject: Subject) -> None:
    """Ask by each path, in both output formats, and give it a history with the answer."""
    problems = []
    # v1: the content is a list of blocks. ChatMistralAI sends such a history without its text.
    for version in ("v0", "v1"):
        model = subject.says(_SPOKEN, output_version=version)
        for path in PATHS:
            answer = subject.ask(model, None, path).answer
            outcome = subject.ask(model, [HumanMessage("What is one?"), answer, HumanMessage("And two?")])
            texts = [said.text for said in _last_messages(subject) if ROLES.get(said.role) == "ai"]
            if outcome.error is not None:
                problems.append(f"{path} with output_version={version!r}: {error_text(outcome.error)!r:.80}")
            elif texts[:1] != [_SPOKEN]:
                arrived = texts[0] if texts else "no message of the model's"
                problems.append(f"{path} with output_version={version!r}: {arrived!r:.80}")
    if problems:
        raise Failed(f"fed back, the answer arrives with another text: {'; '.join(problems)}", repr(_SPOKEN))
