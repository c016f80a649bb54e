"""`explain`: what a chat model will do, and why, read from its class and its settings. It is not asked anything."""

import inspect
import json
import os
import pickle
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from pydantic.fields import FieldInfo

from langplug import ChatModel, Request, load
from langplug.models import ChatAdopted, ChatGGUF
from langplug_check.fields import MASK, argument_name, own_fields, secret_fields, telling_fields, variants
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
        short: What it does, in a word or two; programs go by these.
        text: What it does, and why.
    """

    topic: str
    short: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model will do.

    Attributes:
        reference: What the model was called by.
        model: Its class.
        points: What it does, topic by topic.
    """

    reference: str
    model: str
    points: Sequence[Point]

    def to_text(self) -> str:
        """As text for a terminal."""
        lines = [self.reference] if self.reference == self.model else [self.reference, self.model]
        for point in self.points:
            wrapped = textwrap.wrap(point.text, _WIDTH - _LABEL, break_on_hyphens=False)
            labels = [point.topic, *[""] * (len(wrapped) - 1)]
            lines += ["", *(f"{label:<{_LABEL}}{line}" for label, line in zip(labels, wrapped, strict=True))]
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """As a JSON document; `schema` is its version."""
        points = {point.topic: {"short": point.short, "text": point.text} for point in self.points}
        data = {"schema": SCHEMA_VERSION, "reference": self.reference, "model": self.model, "points": points}
        return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def explain(reference: str, **settings: Any) -> Explanation:
    """What the model that `reference` leads to will do.

    Args:
        reference: As for `langplug.load`.
        settings: Constructor arguments of the model.

    Raises:
        Exception: What making it raises.
    """
    with Subject(partial(load, reference, **settings) if settings else resolve(reference), probe=False) as subject:
        model = subject.real()
        topics = (_origin, _streaming, _tools, _content, _retries, _cache, _traces)
        points = [point for topic in topics for point in topic(subject, model)]
        return Explanation(reference, f"{subject.cls.__module__}.{subject.cls.__qualname__}", points)


# --- where it comes from ---


def _origin(_: Subject, model: BaseChatModel) -> Iterator[Point]:
    """What a model is made of that langplug did not write: an engine, langchain-core's hooks, somebody else's model."""
    if isinstance(model, ChatGGUF):
        chosen = model.runs_on
        text = chosen.why + (" If it cannot load the file after all, llama.cpp does." if chosen.has_fallback else "")
        yield Point("engine", chosen.engine, text)
    if (hooks := getattr(model, "__langplug_source__", "respond")) != "respond":
        listed = ", ".join(f"`{name}`" for name in hooks.split("/"))
        yield Point("source", "hooks", f"langchain-core's hooks, in the place of a `respond`: {listed}.")
    if isinstance(model, ChatAdopted):
        theirs = type(model.adopted)
        text = (
            f"{theirs.__module__}.{theirs.__qualname__}, adopted: asked by its own hooks. Adoption does not change how "
            "it is made: its constructor, and what that does with arguments that it does not know, stay as they are. "
        )
        try:
            pickle.dumps(model.adopted)
            text += "It can be pickled."
        except Exception as error:  # noqa: BLE001 - of anybody's class
            text += f"It cannot be pickled, and so no more can this: {error}."
        yield Point("adopted", theirs.__qualname__, text)


# --- streaming and async ---


def _at_once(model: BaseChatModel) -> Iterator[Point]:
    """How many calls it is given at once, if it says so."""
    if not isinstance(model, ChatModel):
        return
    most = model.concurrency
    if callable(getattr(model, "respond_batch", None)):
        size = getattr(model, "max_batch", None)
        held = "all calls that wait" if size is None else f"at most {size} calls"
        times = "one batch at a time" if most is None else f"at most {most} batches at a time"
        yield Point("calls at once", "batches", f"`respond_batch` gets {held} together; {times}.")
    elif most is not None:
        yield Point("calls at once", str(most), f"More wait their turn, first come, first served: concurrency={most}.")


def _streaming(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    if model.disable_streaming is True:
        yield Point("stream", "off", "One chunk with the whole answer: disable_streaming is True.")
    elif isinstance(model, ChatModel):
        shape = model.__langplug_shape__
        if shape.streams:
            yield Point("stream", "native", f"Piece by piece, as `respond` yields it ({shape.value}).")
        else:
            text = (
                f"In one piece, if `respond` returns text; piece by piece, if it returns an iterator ({shape.value}: "
                "decided when it runs)."
            )
            yield Point("stream", "whole", text)
    elif subject.overrides("_stream"):
        yield Point("stream", "native", "Piece by piece: the class has `_stream`.")
    else:
        why = "the class has no `_stream`, so langchain-core calls invoke and gives its result"
        yield Point("stream", "whole", f"The whole answer at once: {why}.")
    yield _asynchronous(subject, model)
    yield from _at_once(model)
    # Whether invoke reads a stream where somebody listens: the rule of `BaseChatModel._should_stream`.
    topic = "implicit streaming"
    streams = subject.overrides("_stream") or subject.overrides("_astream")
    explicit = model.model_fields_set & {"streaming"}
    if not streams or model.disable_streaming is True or (explicit and getattr(model, "streaming", None) is False):
        yield Point(topic, "never", "invoke within astream_events or LangGraph gives no tokens.")
    elif explicit and getattr(model, "streaming", None):
        yield Point(topic, "always", "invoke reads the answer as a stream: streaming=True.")
    else:
        tools = ", except with tools" if model.disable_streaming == "tool_calling" else ""
        text = f"invoke within astream_events or LangGraph reads the answer as a stream{tools}, and shows its tokens."
        yield Point(topic, "as asked", text)


def _asynchronous(subject: Subject, model: BaseChatModel) -> Point:
    if isinstance(model, ChatModel):
        if model.__langplug_shape__.is_async:
            text = "Natively, on the caller's loop; invoke and stream run it on one long-lived loop of langplug's."
            return Point("async", "native", text)
        asked = Request(messages=(HumanMessage("Hello"),), streaming=True)
        if model.__langplug_on_loop__(asked)[1].is_async:
            return Point("async", "native", "Natively, by its asynchronous hooks; invoke and stream use the others.")
        text = (
            "Bridged: the synchronous `respond` runs in a thread of langplug's, and hands its pieces over in batches."
        )
        return Point("async", "bridged", text)
    own = [f"`{name}`" for name in ("_agenerate", "_astream") if subject.overrides(name)]
    streams = subject.overrides("_stream")
    if own:
        hops = streams and "`_astream`" not in own
        missing = " astream has none, and takes each piece from a thread." if hops else ""
        return Point("async", "native", f"By its own asynchronous code ({' and '.join(own)}).{missing}")
    text = "ainvoke and astream run the synchronous code in the event loop's default threads, one for each call"
    each = ", with a hop to a thread for each piece" if streams else ""
    return Point("async", "bridged", f"{text}{each}: the class has neither `_agenerate` nor `_astream`.")


# --- tools and structured output ---


def _tools(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    if isinstance(model, ChatModel):
        chosen = model.tool_format
        written = f"in the format {getattr(chosen, 'name', chosen)!r}" if chosen else "as models of its name write them"
        texts = {
            "off": "bind_tools is an error: tool_calling = 'off'.",
            "native": "`respond` gets the schemas, and yields ToolCalls (tool_calling = 'native').",
            "templated": f"The chat template gets the schemas, and calls are read out of the text, {written}.",
            "prompted": f"Prompted: schemas go into the prompt, and calls are read out of the text, {written}.",
        }
        way = model.__langplug_tool_calling__()
        because = (
            "" if way == model.tool_calling else f" tool_calling is {model.tool_calling!r}, which it falls back from."
        )
        if way == "native" and chosen != "off" and model.adaptations != "refuse":
            because = " If it gives none, whole calls that were left at the end of its text are read."
        yield Point("tools", way, texts[way] + because)
    elif subject.overrides("bind_tools"):
        yield Point("tools", "native", "By the class's own `bind_tools`; `langplug check` says what it makes of them.")
    else:
        yield Point("tools", "none", "bind_tools raises NotImplementedError: the class has none. Agents cannot use it.")
    yield _agent_strategy(subject, model)
    topic = "structured output"
    if isinstance(model, ChatModel):
        native = model.structured_output == "native"
        how = "kept by the model" if native else "said in the prompt, checked and asked again"
        yield Point(topic, "json_schema", f"with_structured_output without a method: json_schema, {how}.")
    elif subject.overrides("with_structured_output"):
        method = inspect.signature(subject.cls.with_structured_output).parameters.get("method")
        default = getattr(method, "default", None)
        text = f"with_structured_output by the class's own; its method, unless one is given, is {default!r}."
        yield Point(topic, str(default), text)
    elif subject.overrides("bind_tools"):
        text = "with_structured_output by a forced call of a tool (langchain-core's own)."
        yield Point(topic, "function_calling", text)
    else:
        yield Point(topic, "none", "with_structured_output is an error: the class has no `bind_tools`.")


def _agent_strategy(subject: Subject, model: BaseChatModel) -> Point:
    """The rule of langchain's `create_agent`, for a schema as response format: the profile, then the name."""
    names = (getattr(model, field, None) for field in ("model_name", "model", "model_id"))
    name = next((str(one) for one in names if one), "")
    if (model.profile or {}).get("structured_output"):
        exception = " (with tools, models called gemini before version 3 are excepted)" if "gemini" in name else ""
        text = f"ProviderStrategy, the model's own structured output: its profile claims it{exception}."
        return Point("create_agent", "provider", text)
    try:
        from langchain.agents import factory

        # Not public, so it may be gone one day; then nobody can say whether the name is known.
        patterns: Sequence[str] | None = getattr(factory, "FALLBACK_MODELS_WITH_STRUCTURED_OUTPUT", None)
    except ImportError:
        patterns = None
    if patterns is None:
        text = (
            "Its profile does not claim structured output; whether langchain knows its name cannot be said without it."
        )
        return Point("create_agent", "unknown", text)
    if any(re.search(pattern, name.lower()) for pattern in patterns):
        return Point("create_agent", "provider", f"ProviderStrategy: langchain knows the name {name!r}.")
    unknown = f"nor does langchain know the name {name!r}" if name else "and it has no name that langchain could know"
    fails = "" if subject.calls_tools else " It will fail, because there is no `bind_tools`."
    text = (
        f"ToolStrategy, a call of an artificial tool: its profile does not claim structured output, {unknown}.{fails}"
    )
    return Point("create_agent", "tool", text)


# --- content ---


def _content(_: Subject, model: BaseChatModel) -> Iterator[Point]:
    if not isinstance(model, ChatModel):
        profile = cast("Mapping[str, Any]", model.profile or {})
        claimed = [kind for kind in ("text", "image", "audio", "video", "pdf") if profile.get(f"{kind}_inputs")]
        text = f"Its profile claims {', '.join(claimed)}." if claimed else "Its profile claims nothing."
        yield Point("content", ", ".join(claimed) or "unknown", text)
        return
    kinds = ", ".join(["text", *sorted(model.accepts)])
    yield Point("content", kinds, f"Takes {kinds}; anything else in a message is an error (accepts).")
    done = ["stop strings: cut by langplug, whatever the model does"]
    if (way := model.__langplug_tool_calling__()) in ("prompted", "templated"):
        done.append(f"tools: {'prompted' if way == 'prompted' else 'calls read out of the text'}")
    if model.structured_output != "native":
        done.append("schemas: said in the prompt, checked, asked for again")
    done += [f"{name}: ignored, the model has no such parameter" for name in model.ignored_params]
    how = {"note": "and noted in the answer's metadata", "silent": "without notice", "refuse": "refused: an error"}
    yield Point("adaptations", model.adaptations, f"{'; '.join(done)} ({how[model.adaptations]}).")


# --- errors ---


def _retries(_: Subject, model: BaseChatModel) -> Iterator[Point]:
    if not isinstance(model, ChatModel):
        return
    if times := model.__langplug_backoff__().retries:
        text = f"An error that may pass is tried again up to {times} times, unless a part of the answer has come."
        yield Point("retries", str(times), f"{text} max_retries={times}.")
    elif model.max_retries:
        yield Point("retries", "own", "Its class declares max_retries: `respond` tries again by itself, or not at all.")
    else:
        yield Point("retries", "0", "An error is raised at once: max_retries=0.")


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

    def is_followed(name: str, field: FieldInfo) -> bool:
        # langplug's keys name what they hold. Anybody else's are compared with the key of a model that differs.
        for value in () if isinstance(model, ChatModel) else variants(field, getattr(model, name, None)):
            with suppress(Exception):  # the class does not take this value, and perhaps the next one
                other = subject.real(**{argument_name(subject.cls, name): value})
                if getattr(other, name, None) != getattr(model, name, None):
                    return subject.key(other) != key
        return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", key) for one in (name, field.alias) if one)

    fields = telling_fields(subject.cls)
    within = [name for name, field in fields.items() if is_followed(name, field)]
    without = [name for name in fields if name not in within]
    left = f" Not in it: {', '.join(without)}; models that differ in these share answers." if without else ""
    text = f"The key holds what these are set to: {', '.join(within) or 'nothing'}.{left}"
    yield Point("cache key", "partial" if without else "complete", text)
    if isinstance(model, ChatModel) and (apart := model.__langplug_unshared__()):
        held = ", ".join(f"{name} ({kinds})" for name, kinds in apart.items())
        text = (
            f"No other model shares this model's answers, nor does another process: what {held} would answer cannot be "
            "told from outside. A client made by a `@resource` is not part of the key."
        )
        yield Point("cache sharing", "none", text)


def _traces(subject: Subject, model: BaseChatModel) -> Iterator[Point]:
    more = subject.start(model).more
    traced = {name: value for name, value in (more.get("metadata") or {}).items() if name.startswith("ls_")}
    params = sorted(more.get("invocation_params") or {})
    listed = ", ".join(f"{name}={value!r}" for name, value in traced.items())
    yield Point("traces", str(traced.get("ls_model_name")), f"{listed}; invocation parameters {', '.join(params)}.")
    if isinstance(model, ChatModel):
        shown = model.asdict()
        for name in own_fields(subject.cls):
            if shown.get(name) == MASK:
                text = f"{name}: not shown, because its name sounds like a secret's, and it is not declared `Public`."
                yield Point("hidden", name, text)
    variables = model.lc_secrets
    for name in secret_fields(subject.cls):
        variable = variables.get(name) or variables.get(subject.cls.model_fields[name].alias or "")
        state = "set" if variable and os.environ.get(variable) else "not set"
        where = f"read from {variable} ({state} here)" if variable else "read from no variable that `lc_secrets` names"
        if getattr(model, name, None) is not None and state == "not set":
            where = f"given to the constructor{f', in place of {variable}' if variable else ''}"
        yield Point("secret", name, f"{name}: {where}.")
