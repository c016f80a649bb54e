"""Group J: structured output."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from langchain_core.runnables import RunnableSequence
from langchain_core.utils.function_calling import convert_to_openai_tool
from typing_extensions import TypedDict

from langplug import ChatModel
from langplug_check.groups._schemas import (
    BO,
    JSON_SCHEMA,
    MARK,
    METHODS,
    PROMPT,
    WITH_STRUCTURED_OUTPUT,
    Method,
    Person,
    Target,
    target_of,
)
from langplug_check.groups._streams import event_paths
from langplug_check.groups._tools import request_in
from langplug_check.paths import BUGS, allow_beta, error_text
from langplug_check.process.loop import run_on_shared_loop
from langplug_check.prompts import find_schema
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Advisory, Blame, Failed, NotObserved

_PAGE = "https://docs.langchain.com/oss/python/langchain/models#structured-output"


class PersonDict(TypedDict):
    """Somebody."""

    name: str
    age: int


_SCHEMAS: Sequence[tuple[str, Any, Any]] = (
    ("a Pydantic class", Person, Person(name="Bo", age=3)),
    ("a TypedDict", PersonDict, BO),
    ("a JSON schema", JSON_SCHEMA, BO),
    ("an OpenAI function", convert_to_openai_tool(PersonDict)["function"], BO),
)
"""The kinds of schema, and the object that each must give."""

# --- J01 ---


@statement(
    "J01",
    "A Pydantic class gives an instance, a dict schema and a TypedDict give a dict, invoked and streamed.",
    why="Code that asks for a class reads its fields; a dict in its place breaks far from where it came from.",
    hint="""
    def with_structured_output(self, schema, *, include_raw=False, method="function_calling", **kwargs):
        llm = self.bind_tools([schema], tool_choice="any")
        is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
        name = convert_to_openai_tool(schema)["function"]["name"]
        parser = (PydanticToolsParser(tools=[schema], first_tool_only=True) if is_class
                  else JsonOutputKeyToolsParser(key_name=name, first_tool_only=True))
    # and give the model a `_stream`: langchain-core's parsers lose the calls of what it streams without one
    """,
    link=_PAGE,
    needs=("structured", "replies"),
)
def objects_of_schemas(subject: Subject) -> None:
    """Have the same object given for each kind of schema, by invoke, ainvoke, stream and astream."""
    target_of(subject)

    async def read(chain: Any) -> list[Any]:
        return [one async for one in chain.astream(PROMPT)]

    # Of a stream the last value counts: parsers give what they have so far, which grows.
    paths: Mapping[str, Callable[[Any], Any]] = {
        "invoke": lambda chain: chain.invoke(PROMPT),
        "ainvoke": lambda chain: run_on_shared_loop(chain.ainvoke(PROMPT)),
        "stream": lambda chain: [None, *chain.stream(PROMPT)][-1],
        "astream": lambda chain: [None, *run_on_shared_loop(read(chain))][-1],
    }
    # langchain-tests calls its check of the result in six cases without `assert`: there any result passes.
    for kind, schema, expected in _SCHEMAS:
        for path, ask in paths.items():
            try:
                value = ask(subject.gives(BO).with_structured_output(schema))
            except Exception as error:
                raise Failed(f"{kind}: {path} raised {error_text(error)}", f"{expected!r}") from error
            if type(value) is not type(expected) or value != expected:
                raise Failed(f"{kind}: {path} gave {value!r}", f"{expected!r}", blame=_blame(subject, path))


def _blame(subject: Subject, path: str) -> Blame:
    """langchain-core streams a whole message for a model without `_stream`, and its parsers lose the calls of that."""
    streams = any(map(subject.overrides, ("_stream", "_astream")))
    return "model" if streams or "stream" not in path else "langchain-core"


# --- J02 ---


@statement(
    "J02",
    "Each `method` does what it says or is refused when the chain is built; none is silently swapped for another.",
    why="A backend that enforces a schema guarantees what tool calls do not: users who choose one do not want the "
    "other.",
    hint="""
    def with_structured_output(self, schema, *, include_raw=False, method="function_calling", **kwargs):
        if method != "function_calling":   # langchain-core takes any name, and ignores it
            raise ValueError(f"Unknown method {method!r}: this model has only 'function_calling'")
        return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "answer"),
)
def methods_kept(subject: Subject) -> str:
    """Build with each method, and with an unknown one; look at the request, and at the object."""
    target_of(subject)
    found = {method: _method_verdict(subject, method) for method in (*METHODS, _UNKNOWN_METHOD)}
    problems = [f"method={method!r} {text}" for method, (kind, text) in found.items() if kind == "wrong"]
    warned = [f"method={method!r} {text}" for method, (kind, text) in found.items() if kind == "warned"]
    if problems:
        raise Failed("; ".join(problems))
    # A warning that names the method is not silence.
    if warned:
        raise Advisory("; ".join(warned))
    if subject.lacks("requests"):
        raise NotObserved("an unknown method is refused as it should be; the requests of the known ones cannot be seen")
    return "; ".join(f"{method} {text}" for method, (_, text) in found.items() if text and method in METHODS)


_UNKNOWN_METHOD = "no_such_method"


def _method_verdict(subject: Subject, method: str) -> tuple[Literal["right", "warned", "wrong"], str]:
    """What becomes of a method: whether that is right, and in words."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            chain = _giving_model(subject).with_structured_output(Person, method=method)
        except BUGS as error:
            return "wrong", f"raises {error_text(error)}, which is not a refusal"
        except Exception:  # noqa: BLE001 - a refusal is an answer here
            return "right", "is refused"
    warning = next((str(one.message) for one in caught if method in str(one.message)), None)
    # `BaseChatModel.with_structured_output` pops `method` and ignores it, so that every name is accepted.
    if method == _UNKNOWN_METHOD:
        return ("wrong", "is accepted") if warning is None else ("warned", f"is accepted with a warning: {warning}")
    problem = "" if subject.lacks("requests") else _method_problem(subject, chain, method)
    if not problem:
        return "right", ""
    return ("wrong", problem) if warning is None else ("warned", f"{problem}, with a warning: {warning}")


def _giving_model(subject: Subject) -> Any:
    """A model that gives the object `BO`; one that gives what it likes, where that cannot be chosen."""
    return subject.model() if subject.lacks("replies") else subject.gives(BO)


def _method_problem(subject: Subject, chain: Any, method: str) -> str:
    """What is wrong with a chain that was built with this method; empty if nothing is."""
    try:
        value, error = chain.invoke(PROMPT), None
    except Exception as raised:  # noqa: BLE001 - it is part of the report
        value, error = None, raised
    # The request first: the backend gives the object however it is asked, so that the object proves nothing.
    if subject.exchanges:
        request = request_in(subject.exchanges[0])
        params = json.dumps(dict(request.params), default=str)
        # A model in this process may ask in the prompt, in its own words: only the schema in it is looked for.
        # langplug's do so over a wire too, where the API knows no schemas, and check the answer.
        asks_in_prompt = subject.lacks("backend") or issubclass(subject.cls, ChatModel)
        prompt = " ".join(said.text for said in request.messages) if asks_in_prompt else ""
        used: set[Method] = {"function_calling"} if request.tools else set()
        if MARK in params or (MARK in prompt and not request.tools):
            used.add("json_schema")
        if ("json" in params.lower() and MARK not in params) or (find_schema(prompt) is not None and not request.tools):
            used.add("json_mode")
        if method not in used:
            return f"is swapped: the request uses {' and '.join(sorted(used)) or 'a plain question'}"
    if error is not None:
        return f"is accepted, and invoke raises {error_text(error)}"
    return f"gives {value!r}" if value != Person(**BO) else ""


# --- J05 ---

_UNKNOWN = "langplug_nonsense"


@statement(
    "J05",
    "`strict` may be None, True or False, an unknown keyword is refused, and `ls_structured_output_format` reaches "
    "handlers and not the backend.",
    rank="could",
    why="A typo in a keyword changes nothing, and nobody notices; traces show the schema by that option.",
    hint="""
    def with_structured_output(self, schema, *, include_raw=False, method="function_calling", strict=None, **kwargs):
        if kwargs:
            raise ValueError(f"Received unsupported arguments {kwargs}")
        llm = self.bind_tools([schema], tool_choice="any", ls_structured_output_format={
            "kwargs": {"method": method, "strict": strict}, "schema": convert_to_openai_tool(schema)})
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "answer"),
)
def options_of_structured_output(subject: Subject) -> str:
    """Build with each `strict` and with an unknown keyword; read the options of a run's start, and the request."""
    target = target_of(subject)
    for strict in (None, True, False):
        try:
            chain = target.chain(_giving_model(subject), strict=strict)
            value = None if subject.lacks("replies") else chain.invoke(PROMPT)
        except Exception as error:
            raise Failed(f"with_structured_output(strict={strict}) raised {error_text(error)}") from error
        if value is not None and value != target.expected:
            raise Failed(f"with_structured_output(strict={strict}) gave {value!r}", repr(target.expected))
    summary = _fate_of_unknown_keyword(subject, target)
    # LangSmith shows the schema by this option: `BaseChatModel` moves it from the keyword arguments to the options of
    # `on_chat_model_start`. A class that overrides `invoke` or `generate` sends it on as a parameter.
    recorder = Recorder()
    outcome = subject.ask(target.chain(_giving_model(subject)), PROMPT, config={"callbacks": [recorder]})
    starts = recorder.of("start")
    if not starts:
        raise Failed(f"no start of a run was reported to a handler; {error_text(outcome.error)}")
    options = starts[0].more.get("options") or {}
    traced = options.get("ls_structured_output_format")
    if not isinstance(traced, Mapping) or not traced.get("schema"):
        raise Failed(f"the options of a run are {sorted(options)}, without ls_structured_output_format and its schema")
    if not subject.lacks("requests") and "ls_structured_output_format" in str(subject.exchanges[0].body):
        raise Failed("ls_structured_output_format is sent to the backend")
    return summary


def _fate_of_unknown_keyword(subject: Subject, target: Target) -> str:
    """What becomes of a nonsense keyword; fail if it is dropped."""
    try:
        target.chain(_giving_model(subject), **{_UNKNOWN: "kept?"}).invoke(PROMPT)
    except BUGS:
        raise
    except Exception as error:
        if _UNKNOWN in str(error):
            return f"an unknown keyword is refused: {error_text(error)}"
        if subject.lacks("replies"):
            return "a refusal of an unknown keyword cannot be told from other errors"
        raise Failed(f"an unknown keyword ends in {error_text(error)}", f"an error that names {_UNKNOWN}") from error
    if not subject.lacks("requests") and _UNKNOWN in str(subject.exchanges[0].body):
        return "an unknown keyword is sent to the backend"
    raise Failed(f"with_structured_output(schema, {_UNKNOWN}='kept?') is accepted, and the argument is gone")


# --- J06 ---


@statement(
    "J06",
    "Structured output works under version 2 of `astream_events`, with one start and one end of the model, and version "
    "3 gives what invoke gives.",
    why="User interfaces follow a chain by its events.",
    hint="""
    # yield nothing but chunks in `_stream`: langchain-core makes the events (see F11 and F14)
    return llm | parser     # a chain of the bound model and a parser, both Runnables
    """,
    link="https://docs.langchain.com/oss/python/langchain/streaming",
    needs=("structured", "replies"),
)
def events_of_structured_output(subject: Subject) -> str:
    """Collect the events of the chain in version 2; then have the bound model stream in version 3, and parse that."""
    target = target_of(subject)

    async def read(chain: Any) -> list[Any]:
        with allow_beta():
            return [event async for event in chain.astream_events(PROMPT, version="v2")]

    events = run_on_shared_loop(read(target.chain(subject.gives(BO))))
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
    # Only chat models have version 3 of the events, chains do not: so the chain's model streams, and the rest parses.
    for path in event_paths(subject):
        chain = target.chain(subject.gives(BO))
        if not isinstance(chain, RunnableSequence):
            return "the chain is not a RunnableSequence, so its model cannot be asked in version 3"
        first, *others = chain.steps
        value: Any = subject.ask(first, PROMPT, path).answer
        for step in others:
            value = step.invoke(value)
        if value != target.expected:
            raise Failed(f"{path} of the bound model, parsed by the chain, gives {value!r}", repr(target.expected))
    return ""
