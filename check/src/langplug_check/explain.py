"""`explain`: what a chat model will do, and why, read off its class and its settings. It is not asked anything."""

import inspect
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel
from langplug_check.fields import argument_name, secret_fields, telling_fields, variants
from langplug_check.job import resolve
from langplug_check.subject import Subject
from langplug_check.verdicts import VerdictException

SCHEMA_VERSION = 1

_WIDTH = 100
_LABEL = 20


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that a model does.

    Attributes:
        topic: What it is about.
        short: What it does, in a word or two.
        text: What it does, and why.
    """

    topic: str
    short: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model will do.

    Attributes:
        reference: What it was called by.
        model: Its class.
        points: Topic by topic.
    """

    reference: str
    model: str
    points: Sequence[Point]

    def to_text(self) -> str:
        """As text for a terminal."""
        import textwrap

        lines = [self.reference] if self.reference == self.model else [self.reference, self.model]
        for point in self.points:
            wrapped = textwrap.wrap(point.text, _WIDTH - _LABEL, break_on_hyphens=False)
            labels = [point.topic, *[""] * (len(wrapped) - 1)]
            lines += ["", *(f"{label:<{_LABEL}}{line}" for label, line in zip(labels, wrapped, strict=True))]
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """As a JSON document; `schema` is its version."""
        points = {point.topic: {"short": point.short, "text": point.text} for point in self.points}
        told = {"schema": SCHEMA_VERSION, "reference": self.reference, "model": self.model, "points": points}
        return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


def explain(reference: str) -> Explanation:
    """What the model that `reference` leads to will do.

    Raises:
        Exception: What making it raises.
    """
    with Subject(resolve(reference), probe=False) as subject:
        model = subject.real()
        points = [point for tell in _TOPICS for point in tell(subject, model)]
        return Explanation(reference, f"{subject.cls.__module__}.{subject.cls.__qualname__}", points)


# --- streaming and async ---


def _streaming(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    if model.disable_streaming is True:
        yield Point("stream", "off", "One chunk with the whole answer: disable_streaming is True.")
    elif isinstance(model, ChatModel):
        yield _streaming_of_langplug(model)
    elif subject.overrides("_stream"):
        yield Point("stream", "native", "Piece by piece: the class has `_stream`.")
    else:
        why = "the class has no `_stream`, so langchain-core calls invoke and gives what comes of it"
        yield Point("stream", "whole", f"The whole answer at once: {why}.")
    yield _implicit(subject, model)


def _streaming_of_langplug(model: ChatModel) -> Point:
    shape = model.__langplug_shape__
    if shape.streams:
        return Point("stream", "native", f"Piece by piece, as `respond` yields it ({shape.value}).")
    return Point("stream", "whole", f"The whole answer in one piece: `respond` returns it ({shape.value}).")


def _implicit(subject: Subject, model: BaseChatModel) -> Point:
    streams = any(map(subject.overrides, ("_stream", "_astream")))
    explicit = model.model_fields_set & {"streaming"}
    if not streams or model.disable_streaming is True or (explicit and getattr(model, "streaming", None) is False):
        return Point("implicit streaming", "never", "invoke within astream_events or LangGraph gives no tokens.")
    if explicit and getattr(model, "streaming", None):
        return Point("implicit streaming", "always", "invoke reads the answer as a stream: streaming=True.")
    tools = ", but with tools" if model.disable_streaming == "tool_calling" else ""
    text = f"invoke within astream_events or LangGraph reads the answer as a stream{tools}, and shows its tokens there."
    return Point("implicit streaming", "as asked", text)


def _asynchronous(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    if isinstance(model, ChatModel):
        yield _async_of_langplug(model)
        return
    whole, pieces = subject.overrides("_agenerate"), subject.overrides("_astream")
    sync_pieces = subject.overrides("_stream")
    if whole or pieces:
        missing = "" if pieces or not sync_pieces else " astream has none, and takes each piece from a thread."
        yield Point("async", "native", f"By its own asynchronous code ({_named(whole, pieces)}).{missing}")
    else:
        text = "ainvoke and astream run the synchronous code in the event loop's default threads, one for each call"
        each = ", with a hop to a thread for each piece" if sync_pieces else ""
        yield Point("async", "bridged", f"{text}{each}: the class has neither `_agenerate` nor `_astream`.")


def _named(whole: bool, pieces: bool) -> str:
    return " and ".join([*(["`_agenerate`"] if whole else []), *(["`_astream`"] if pieces else [])])


def _async_of_langplug(model: ChatModel) -> Point:
    if model.__langplug_shape__.is_async:
        text = "Natively, on the caller's loop; invoke and stream run it on one long-lived loop of langplug's."
        return Point("async", "native", text)
    text = (
        "Bridged: the synchronous `respond` runs in a thread of langplug's own, and hands its pieces over in batches."
    )
    return Point("async", "bridged", text)


# --- tools and structured output ---


def _tools(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    if isinstance(model, ChatModel):
        yield _tools_of_langplug(model)
    elif subject.overrides("bind_tools"):
        yield Point("tools", "native", "By the class's own `bind_tools`; what it makes of them, `langplug check` says.")
    else:
        yield Point("tools", "none", "bind_tools raises NotImplementedError: the class has none. Agents cannot use it.")


def _tools_of_langplug(model: ChatModel) -> Point:
    if model.tool_calling == "off":
        return Point("tools", "off", "bind_tools is an error: the class has tool_calling = 'off'.")
    if model.tool_calling == "native":
        return Point(
            "tools", "native", "`respond` is given the schemas, and yields ToolCalls (tool_calling = 'native')."
        )
    chosen = model.tool_format
    written = f"in the format {getattr(chosen, 'name', chosen)!r}" if chosen else "as models of its name write them"
    text = f"Prompted: schemas go into the prompt, and calls are read out of the text, {written}."
    return Point("tools", "prompted", text)


def _structured(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    yield _strategy(model)
    if isinstance(model, ChatModel):
        native = model.structured_output == "native"
        how = "json_schema, kept by the model" if native else "json_schema, said in the prompt, checked and asked again"
        yield Point(
            "structured output", how.split(",", maxsplit=1)[0], f"with_structured_output without a method: {how}."
        )
    elif subject.overrides("with_structured_output"):
        method = inspect.signature(subject.cls.with_structured_output).parameters.get("method")
        default = getattr(method, "default", None)
        text = f"with_structured_output by the class's own; its method, where none is given, is {default!r}."
        yield Point("structured output", str(default), text)
    else:
        able = subject.overrides("bind_tools")
        text = "by a forced call of a tool (langchain-core's own)" if able else "is an error, for want of `bind_tools`"
        yield Point("structured output", "function_calling" if able else "none", f"with_structured_output {text}.")


def _strategy(model: BaseChatModel) -> Point:
    """The rule of langchain's `create_agent`, for a schema as response format: the profile, then the name."""
    names = (getattr(model, field, None) for field in ("model_name", "model", "model_id"))
    name = next((str(one) for one in names if one), "")
    if (model.profile or {}).get("structured_output"):
        exception = " (with tools, models called gemini before version 3 are excepted)" if "gemini" in name else ""
        text = f"ProviderStrategy, the model's own structured output: its profile claims it{exception}."
        return Point("create_agent", "provider", text)
    known = _known_names()
    if known is None:
        text = "Its profile does not claim structured output; whether its name is known, only langchain says, which "
        return Point("create_agent", "unknown", f"{text}is not installed here.")
    if any(re.search(pattern, name.lower()) for pattern in known):
        return Point("create_agent", "provider", f"ProviderStrategy: langchain knows the name {name!r}.")
    named = f"nor does langchain know the name {name!r}" if name else "and it has no name that langchain could know"
    fails = "" if _binds_tools(model) else " It will fail, for want of `bind_tools`."
    text = f"ToolStrategy, a call of an artificial tool: its profile does not claim structured output, {named}.{fails}"
    return Point("create_agent", "tool", text)


def _binds_tools(model: BaseChatModel) -> bool:
    return type(model).bind_tools is not BaseChatModel.bind_tools and getattr(model, "tool_calling", "") != "off"


def _known_names() -> Sequence[str] | None:
    """The patterns of names by which `create_agent` goes; None where langchain, or its list, is not here."""
    try:
        from langchain.agents import factory
    except ImportError:
        return None
    return cast("Sequence[str] | None", getattr(factory, "FALLBACK_MODELS_WITH_STRUCTURED_OUTPUT", None))


# --- identity ---


def _cache(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    try:
        key = subject.key(model)
    except VerdictException as reason:
        yield Point("cache", "none", str(reason))
        return
    if type(model).is_lc_serializable() and not isinstance(model, ChatModel):
        text = "The key holds what the constructor was given, as it was when the key was first asked for."
        yield Point("cache key", "constructor", text)
        return
    fields = telling_fields(subject.cls)
    within = [name for name in fields if _is_followed(subject, model, name, key)]
    without = [name for name in fields if name not in within]
    left = f" Not in it: {', '.join(without)}; models that differ in these share answers." if without else ""
    text = f"The key holds what these are set to: {', '.join(within) or 'nothing'}.{left}"
    yield Point("cache key", "partial" if without else "complete", text)


def _is_followed(subject: Subject, model: BaseChatModel, name: str, key: str) -> bool:
    """Whether the key is another one where a field is. langplug's own keys hold what they name."""
    field = subject.cls.model_fields[name]
    for value in () if isinstance(model, ChatModel) else variants(field, getattr(model, name, None)):
        with suppress(Exception):  # not a value that it takes: then the next one
            other = subject.real(**{argument_name(subject.cls, name): value})
            if getattr(other, name, None) != getattr(model, name, None):
                return subject.key(other) != key
    return _is_in(key, name, field.alias)


def _is_in(key: str, name: str, alias: str | None) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", key) for one in (name, alias) if one)


def _traces(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    more = subject.start(model).more
    traced = {name: value for name, value in (more.get("metadata") or {}).items() if name.startswith("ls_")}
    params = sorted(more.get("invocation_params") or {})
    told = ", ".join(f"{name}={value!r}" for name, value in traced.items())
    yield Point("traces", str(traced.get("ls_model_name")), f"{told}; invocation parameters {', '.join(params)}.")


def _secrets(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    mapped = model.lc_secrets
    for name in secret_fields(subject.cls):
        variable = mapped.get(name) or mapped.get(subject.cls.model_fields[name].alias or "")
        state = "set" if variable and os.environ.get(variable) else "not set"
        where = f"read from {variable} ({state} here)" if variable else "read from no variable that `lc_secrets` names"
        if getattr(model, name, None) is not None and state == "not set":
            where = f"given to the constructor{f', in place of {variable}' if variable else ''}"
        yield Point("secret", name, f"{name}: {where}.")


# --- content ---


def _content(_: Subject, model: BaseChatModel) -> Iterator[Point]:
    if isinstance(model, ChatModel):
        kinds = ", ".join(["text", *sorted(model.accepts)])
        yield Point("content", kinds, f"Takes {kinds}; anything else in a message is an error (accepts).")
        yield from _adaptations(model)
        return
    profile = cast("Mapping[str, Any]", model.profile or {})
    claimed = [kind for kind in ("text", "image", "audio", "video", "pdf") if profile.get(f"{kind}_inputs")]
    text = f"Its profile claims {', '.join(claimed)}." if claimed else "Its profile claims nothing."
    yield Point("content", ", ".join(claimed) or "unknown", text)


def _adaptations(model: ChatModel) -> Iterator[Point]:
    done = ["stop strings: cut by langplug, whatever the model does"]
    if model.tool_calling == "prompted":
        done.append("tools: prompted")
    if model.structured_output != "native":
        done.append("schemas: said in the prompt, checked, asked for again")
    done += [f"{name}: ignored, the model has no such parameter" for name in model.ignored_params]
    how = {"note": "and noted in the answer's metadata", "silent": "without a word", "refuse": "refused: an error"}
    yield Point("adaptations", model.adaptations, f"{'; '.join(done)} ({how[model.adaptations]}).")


_TOPICS: Sequence[Callable[[Subject, BaseChatModel], Iterator[Point]]] = (
    _streaming,
    _asynchronous,
    _tools,
    _structured,
    _content,
    _cache,
    _traces,
    _secrets,
)
