"""Group J: structured output."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from langchain_core.runnables import RunnableSequence
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langplug_backend import Exchange
from langplug_check.groups.i_tools import asked_in
from langplug_check.paths import BUGS, PathName, beta_allowed, shown
from langplug_check.process.loop import on_one_loop
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Advisory, Blame, Failed, NotApplicable, NotObserved

_PAGE = "https://docs.langchain.com/oss/python/langchain/models#structured-output"
_REFERENCE = "https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel"
WITH = f"{_REFERENCE}/with_structured_output"

_MARK = "The full name, LANGPLUG-MARK."
"""What the schema says of a field: where this arrives, the schema does."""


class Person(BaseModel):
    """Somebody."""

    name: str = Field(description=_MARK)
    age: int = Field(description="In years.")


class PersonDict(TypedDict):
    """Somebody."""

    name: str
    age: int


BO: Mapping[str, Any] = {"name": "Bo", "age": 3}

_JSON_SCHEMA: Mapping[str, Any] = {
    "title": "person",
    "description": "Somebody.",
    "type": "object",
    "properties": {"name": {"type": "string", "description": _MARK}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}

_SCHEMAS: Sequence[tuple[str, Any, Any]] = (
    ("a Pydantic class", Person, Person(name="Bo", age=3)),
    ("a TypedDict", PersonDict, BO),
    ("a JSON schema", _JSON_SCHEMA, BO),
    ("an OpenAI function", convert_to_openai_tool(PersonDict)["function"], BO),
)
"""What an object may be asked for with, and what is to come of it."""

Method: TypeAlias = Literal["function_calling", "json_schema", "json_mode"]

METHODS: Sequence[Method] = ("function_calling", "json_schema", "json_mode")

PROMPT = "Who is Bo, who is 3?"
"""What is asked: nothing in it tells how to answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a model is asked for.

    Attributes:
        schema: A Pydantic class or, for a model that takes none, a JSON schema.
        expected: The object that it stands for.
    """

    schema: Any
    expected: Any

    def built(self, model: Any, **kwargs: Any) -> Any:
        """The chain that gives the object; None where the method that is asked for is refused."""
        try:
            return model.with_structured_output(self.schema, **kwargs)
        except BUGS:
            raise
        except Exception:
            if "method" in kwargs:
                return None
            raise


def target_of(subject: Subject) -> Target:
    """What the model can be asked for.

    Raises:
        NotApplicable: If the model has no structured output.
    """
    refusal = ""
    for one in (Target(Person, Person(**BO)), Target(_JSON_SCHEMA, BO)):
        try:
            one.built(subject.real())
        except NotImplementedError as error:
            refusal = shown(error)
        else:
            return one
    raise NotApplicable(f"it has no structured output: {refusal}")


# --- J01 ---


@statement(
    "J01",
    "A Pydantic class gives an instance, a dict schema and a TypedDict give a dict, invoked and streamed.",
    why="Whoever asks for a class reads its fields; a dict in its place breaks far from where it came from.",
    hint="""
    def with_structured_output(self, schema, *, include_raw=False, method="function_calling", **kwargs):
        llm = self.bind_tools([schema], tool_choice="any")
        is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
        name = convert_to_openai_tool(schema)["function"]["name"]
        parser = (PydanticToolsParser(tools=[schema], first_tool_only=True) if is_class
                  else JsonOutputKeyToolsParser(key_name=name, first_tool_only=True))
    # and give the model a `_stream`: of what langchain-core streams without one, its own parsers lose the calls
    """,
    link=_PAGE,
    needs=("structured", "replies"),
)
def objects_of_schemas(subject: Subject) -> None:
    """Have the same object given for each kind of schema, by invoke, ainvoke, stream and astream."""
    target_of(subject)
    for kind, schema, expected in _SCHEMAS:
        for path, got in _PATHS.items():
            try:
                value = got(subject.gives(BO).with_structured_output(schema))
            except Exception as error:
                raise Failed(f"{kind}: {path} raised {shown(error)}", f"{expected!r}") from error
            if type(value) is not type(expected) or value != expected:
                raise Failed(f"{kind}: {path} gave {value!r}", f"{expected!r}", blame=_blame(subject, path))


def _blame(subject: Subject, path: str) -> Blame:
    """langchain-core streams a whole message for a model without `_stream`, and its parsers lose the calls of that."""
    streams = any(map(subject.overrides, ("_stream", "_astream")))
    return "model" if streams or "stream" not in path else "langchain-core"


def _last_of_stream(chain: Any) -> Any:
    given = list(chain.stream(PROMPT))
    return given[-1] if given else None


def _last_of_astream(chain: Any) -> Any:
    async def read() -> list[Any]:
        return [one async for one in chain.astream(PROMPT)]

    given = on_one_loop(read())
    return given[-1] if given else None


_PATHS: Mapping[str, Callable[[Any], Any]] = {
    "invoke": lambda chain: chain.invoke(PROMPT),
    "ainvoke": lambda chain: on_one_loop(chain.ainvoke(PROMPT)),
    "stream": _last_of_stream,
    "astream": _last_of_astream,
}

# --- J02 ---


@statement(
    "J02",
    "Each `method` does what it says or is refused when it is built; none is swapped for another in silence.",
    why="A backend that keeps to a schema guarantees what tool calls do not: who chose the one wants no other.",
    hint="""
    def with_structured_output(self, schema, *, include_raw=False, method="function_calling", **kwargs):
        if method != "function_calling":   # langchain-core takes every name, and calls a tool for each
            raise ValueError(f"method={method!r} is not known to this model, only 'function_calling'")
        return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
    """,
    link=WITH,
    needs=("structured", "answer"),
)
def methods_kept(subject: Subject) -> str:
    """Build with each method, and with one that there is not; look at what is asked, and at the object."""
    target_of(subject)
    found = {method: _kept(subject, method) for method in (*METHODS, _UNKNOWN_METHOD)}
    problems = [f"method={method!r} {told}" for method, (kind, told) in found.items() if kind == "wrong"]
    warned = [f"method={method!r} {told}" for method, (kind, told) in found.items() if kind == "warned"]
    if problems:
        raise Failed("; ".join(problems))
    if warned:
        raise Advisory("; ".join(warned))
    if subject.lacks("requests"):
        raise NotObserved("an unknown method is refused as it should be; what the known ones ask for cannot be seen")
    return "; ".join(f"{method} {told}" for method, (_, told) in found.items() if told and method in METHODS)


_UNKNOWN_METHOD = "no_such_method"


def _kept(subject: Subject, method: str) -> tuple[Literal["right", "warned", "wrong"], str]:
    """What becomes of a method: whether that is right, and in words."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            chain = _able(subject).with_structured_output(Person, method=method)
        except BUGS as error:
            return "wrong", f"raises {shown(error)}, which is no refusal"
        except Exception:  # noqa: BLE001 - a refusal is an answer here
            return "right", "is refused"
    warned = next((str(one.message) for one in caught if method in str(one.message)), None)
    if method == _UNKNOWN_METHOD:
        return ("wrong", "is accepted") if warned is None else ("warned", f"is taken with a warning: {warned}")
    problem = "" if subject.lacks("requests") else next(_swapped(subject, chain, method), "")
    if not problem:
        return "right", ""
    return ("wrong", problem) if warned is None else ("warned", f"{problem}, with a warning: {warned}")


def _able(subject: Subject) -> Any:
    return subject.model() if subject.lacks("replies") else subject.gives(BO)


def _swapped(subject: Subject, chain: Any, method: str) -> Iterator[str]:
    try:
        value, error = chain.invoke(PROMPT), None
    except Exception as raised:  # noqa: BLE001 - it is what is to be told
        value, error = None, raised
    if subject.exchanges:
        ways = _ways(subject.exchanges[0], text="backend" not in subject.voice.offers)
        if method not in ways:
            yield f"is swapped: what arrives is {' and '.join(sorted(ways)) or 'a plain question'}"
            return
    if error is not None:
        yield f"is built, and invoke raises {shown(error)}"
    elif value != Person(**BO):
        yield f"gives {value!r}"


def _ways(exchange: Exchange, *, text: bool) -> set[Method]:
    """The ways in which a request asks for an object. `text`: whether a prompt may do it."""
    asked = asked_in(exchange)
    told = json.dumps(dict(asked.params), default=str)
    prompt = " ".join(said.text for said in asked.messages) if text else ""
    ways: set[Method] = {"function_calling"} if asked.tools else set()
    if _MARK in told or (_MARK in prompt and not asked.tools):
        ways.add("json_schema")
    if ("json" in told.lower() and _MARK not in told) or ("JSON" in prompt and not asked.tools):
        ways.add("json_mode")
    return ways


# --- J05 ---

_UNKNOWN = "langplug_nonsense"


@statement(
    "J05",
    "`strict` may be None, True or False, an unknown keyword is refused, and `ls_structured_output_format` is told to "
    "handlers and not to what answers.",
    why="A typo in a keyword changes nothing and nobody notices; traces show the schema by that option.",
    hint="""
    def with_structured_output(self, schema, *, include_raw=False, method="function_calling", strict=None, **kwargs):
        if kwargs:
            raise ValueError(f"Received unsupported arguments {kwargs}")
        llm = self.bind_tools([schema], tool_choice="any", ls_structured_output_format={
            "kwargs": {"method": method, "strict": strict}, "schema": convert_to_openai_tool(schema)})
    """,
    link=WITH,
    needs=("structured", "answer"),
)
def options_of_structured_output(subject: Subject) -> str:
    """Build with each `strict` and with an unknown keyword; read the options of a run's start, and the request."""
    target = target_of(subject)
    for strict in (None, True, False):
        _expect_strict(subject, target, strict)
    unknown = _dropped(subject, target)
    recorder = Recorder()
    outcome = subject.ask(target.built(_able(subject)), PROMPT, config={"callbacks": [recorder]})
    starts = recorder.of("start")
    if not starts:
        raise Failed(f"no start of a run was reported to a handler; {shown(outcome.error)}")
    options = starts[0].more.get("options") or {}
    named = options.get("ls_structured_output_format")
    if not isinstance(named, Mapping) or not named.get("schema"):
        raise Failed(f"the options of a run are {sorted(options)}, without ls_structured_output_format and its schema")
    if not subject.lacks("requests") and "ls_structured_output_format" in str(subject.exchanges[0].body):
        raise Failed("ls_structured_output_format is sent to what answers")
    return unknown


def _expect_strict(subject: Subject, target: Target, strict: bool | None) -> None:
    try:
        chain = target.built(_able(subject), strict=strict)
        value = None if subject.lacks("replies") else chain.invoke(PROMPT)
    except Exception as error:
        raise Failed(f"with_structured_output(strict={strict}) raised {shown(error)}") from error
    if value is not None and value != target.expected:
        raise Failed(f"with_structured_output(strict={strict}) gave {value!r}", repr(target.expected))


def _dropped(subject: Subject, target: Target) -> str:
    """What became of a keyword that makes no sense."""
    try:
        target.built(_able(subject), **{_UNKNOWN: "kept?"}).invoke(PROMPT)
    except BUGS:
        raise
    except Exception as error:
        if _UNKNOWN in str(error):
            return f"an unknown keyword is refused: {shown(error)}"
        if subject.lacks("replies"):
            return "whether an unknown keyword is refused cannot be told from other errors"
        raise Failed(f"an unknown keyword ends in {shown(error)}", f"an error that names {_UNKNOWN}") from error
    if not subject.lacks("requests") and _UNKNOWN in str(subject.exchanges[0].body):
        return "an unknown keyword is handed on to what answers"
    raise Failed(f"with_structured_output(schema, {_UNKNOWN}='kept?') is accepted, and the argument is gone")


# --- J06 ---


@statement(
    "J06",
    "Structured output works under version 2 of `astream_events`, with one start and one end of the model, and version "
    "3 gives what invoke gives.",
    why="User interfaces follow a chain by its events.",
    hint="""
    # nothing of one's own in `_stream` but chunks: langchain-core makes the events (see F11 and F14)
    return llm | parser     # a chain of the bound model and a parser, both Runnables
    """,
    link="https://docs.langchain.com/oss/python/langchain/streaming",
    needs=("structured", "replies"),
)
def events_of_structured_output(subject: Subject) -> str:
    """Collect the events of the chain in version 2; then have the bound model stream in version 3, and parse that."""
    target = target_of(subject)
    events = on_one_loop(_events(target.built(subject.gives(BO))))
    kinds = [event["event"] for event in events]
    for kind in ("on_chat_model_start", "on_chat_model_end"):
        if kinds.count(kind) != 1:
            raise Failed(f"astream_events gave {kinds.count(kind)} events {kind}", "1")
    ends = [event for event in events if event["event"] == "on_chain_end" and not event["parent_ids"]]
    outputs = [event["data"].get("output") for event in ends]
    if outputs != [target.expected]:
        raise Failed(
            f"the ends of the chain in astream_events have the outputs {outputs}",
            f"{[target.expected]}",
            blame=_blame(subject, "astream_events"),
        )
    return _by_version_3(subject, target)


async def _events(chain: Any) -> list[Any]:
    with beta_allowed():
        return [event async for event in chain.astream_events(PROMPT, version="v2")]


def _by_version_3(subject: Subject, target: Target) -> str:
    paths: Sequence[PathName] = ("v3", "av3")
    for path in paths:
        chain = target.built(subject.gives(BO))
        if not isinstance(chain, RunnableSequence):
            return "the chain is no RunnableSequence, so its model cannot be asked in version 3"
        first, *others = chain.steps
        value: Any = subject.ask(first, PROMPT, path).answer
        for step in others:
            value = step.invoke(value)
        if value != target.expected:
            raise Failed(f"{path} of the bound model, parsed by the chain, gives {value!r}", repr(target.expected))
    return ""
