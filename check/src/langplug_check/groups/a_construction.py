"""Group A: construction, configuration, secrets."""

import asyncio
import copy
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from pydantic import SecretStr

from langplug_check.factory import OMIT
from langplug_check.fields import (
    MARKED_KEY,
    argument_name,
    holds,
    own_fields,
    plain_secret_fields,
    secret_fields,
)
from langplug_check.paths import shown
from langplug_check.process.offline import offline
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

NONSENSE = "langplug_nonsense"

STANDARD: dict[str, Any] = {
    "temperature": 0.375,
    "max_tokens": 137,
    "timeout": 73.25,
    "max_retries": 37,
    "stop": ["STOP-HERE"],
    "api_key": "sk-given",
    "base_url": "http://127.0.0.1:9/given",
}
"""LangChain's standard parameters, each with a value that is found nowhere by chance."""

ON_THE_WIRE = ("temperature", "max_tokens")


@statement(
    "A01",
    "An unknown constructor keyword is rejected, warned about, or forwarded, and never silently dropped.",
    why="LangChain's base class ignores what it does not know: a typo such as `temprature=0` changes nothing, and "
    "nobody notices.",
    hint="""
    model_config = ConfigDict(extra="forbid")
    streaming: bool = False     # and whatever else may be given: LangChain itself gives this one
    # or, to forward what is not known:
    @model_validator(mode="before")
    @classmethod
    def _collect_unknown(cls, values: dict) -> dict:
        return _build_model_kwargs(values, get_pydantic_field_names(cls))  # langchain_core.utils
    """,
)
def unknown_keyword(subject: Subject) -> str:
    """Give the constructor a keyword that makes no sense; look for an error, a warning, or a place where it is kept."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = subject.real(**{NONSENSE: "kept?"})
        except NotObserved:
            raise
        except Exception as error:  # noqa: BLE001 - every error will do
            return f"rejected: {shown(error)}"
    if any(NONSENSE in str(warning.message) for warning in caught):
        return "warned about"
    if holds(vars(model), "kept?") or holds(model.model_extra or {}, "kept?"):
        return "kept, to be forwarded"
    raise Failed(f"{subject.cls.__name__}({NONSENSE}=...) is accepted, and the argument is gone")


@statement(
    "A02",
    "The standard parameters temperature, max_tokens, timeout, max_retries, stop, api_key and base_url are accepted "
    "and kept.",
    why="Whoever swaps one model for another expects the same arguments to mean the same.",
    hint="""
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    max_retries: int = 2
    stop: list[str] | None = None
    api_key: SecretStr | None = Field(default_factory=secret_from_env("ACME_API_KEY", default=None))
    base_url: str | None = None
    # and pass each of them on to what answers; where there is a secret, see B11 for `lc_secrets`
    """,
    link="https://docs.langchain.com/oss/python/langchain/models#parameters",
)
def standard_parameters(subject: Subject) -> None:
    """Construct with each in turn, look for the value on the instance and, where there is a server, on the wire."""
    problems = [problem for name in STANDARD for problem in _lost(subject, name)]
    if problems:
        raise Failed("; ".join(problems))


def _lost(subject: Subject, name: str) -> Iterator[str]:
    try:
        model = subject.model(**{name: STANDARD[name]})
    except NotObserved:
        raise
    except Exception as error:  # noqa: BLE001 - it is what is to be told
        yield f"{name} is refused ({shown(error)})"
        return
    if not holds(vars(model), STANDARD[name]):
        yield f"{name} is dropped"
    elif name in ON_THE_WIRE and "backend" in subject.voice.offers:
        subject.ask(model)
        if not any(holds(exchange.body, STANDARD[name], 6) for exchange in subject.exchanges):
            yield f"{name} does not reach the server"


@statement(
    "A03",
    "The constructor does no network I/O.",
    why="A model that phones home as it is made cannot be imported in tests, and makes serverless cold starts slow.",
    hint="Make clients lazily, at the first call, and look nothing up in `__init__` or in validators.",
)
def silent_constructor(subject: Subject) -> None:
    """Make a model while sockets refuse to connect and names are not looked up."""
    with offline(loopback=False) as attempts:
        try:
            subject.real()
        except Exception:
            if not attempts:
                raise
    if attempts:
        raise Failed(f"making one tried to reach {', '.join(sorted(set(attempts)))}")


_IMPORT = """
import importlib, json, sys, threading
sys.path[:] = json.loads(sys.argv[2])
import langchain_core.language_models
from langplug_check.process.offline import offline
before = {thread.name for thread in threading.enumerate()}
with offline(loopback=False) as attempts:
    importlib.import_module(sys.argv[1])
threads = sorted({thread.name for thread in threading.enumerate()} - before)
print("\\n" + json.dumps({"attempts": attempts, "threads": threads}))
"""


@statement(
    "A11",
    "Importing the package does no network I/O and starts no threads.",
    why="An import must not hang without a network, nor leave threads behind that a fork would lose.",
    hint="Move what the module does on import into the constructor of what needs it, or into the first call.",
    risky=True,
    limit_s=60.0,
)
def silent_import(subject: Subject) -> None:
    """Import the class's module in a new process in which sockets refuse to connect; look at its threads."""
    module = subject.cls.__module__
    if module == "__main__":
        raise NotObserved("the class is defined in the script that runs, and cannot be imported again")
    done = subprocess.run(  # noqa: S603 - this interpreter, with what stands above
        [sys.executable, "-c", _IMPORT, module, json.dumps(sys.path)],
        capture_output=True,
        text=True,
        timeout=50,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr and module in done.stderr:
            raise NotObserved(f"the module {module!r} cannot be imported in a new process")
        raise Failed(f"importing {module!r} failed: {done.stderr.strip().splitlines()[-1]}")
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    if seen["attempts"] or seen["threads"]:
        raise Failed(
            f"importing {module!r} tried to reach {seen['attempts']} and started the threads {seen['threads']}"
        )


@statement(
    "A04",
    "It can be made with or without a running event loop, and used from either afterwards.",
    why="Models are made at module level and used in servers, or made while a server starts and used in scripts.",
    hint="""
    Make asynchronous clients in the coroutine that needs them, one for each loop:
    _clients: WeakKeyDictionary[AbstractEventLoop, Client] = PrivateAttr(default_factory=WeakKeyDictionary)
    """,
    needs=("answer",),
)
def in_and_out_of_a_loop(subject: Subject) -> None:
    """Make one inside a loop and use it outside, and the other way round, synchronously and asynchronously."""

    async def made_inside() -> BaseChatModel:
        return subject.model(**_as_shipped(subject))

    async def used_inside(model: BaseChatModel) -> None:
        _same(subject, model.invoke(subject.prompt), "invoke inside a loop")
        _same(subject, await model.ainvoke(subject.prompt), "ainvoke of a model that was made outside")

    inside = run(made_inside())
    _same(subject, inside.invoke(subject.prompt), "invoke of a model that was made inside a loop")
    _same(subject, asyncio.run(inside.ainvoke(subject.prompt)), "ainvoke on another loop than the one it was made in")
    run(used_inside(subject.model(**_as_shipped(subject))))


def _as_shipped(subject: Subject) -> dict[str, Any]:
    """Without the recipe's wish for no retries, by which some clients get over a connection of a loop that is gone."""
    return {"max_retries": OMIT} if "max_retries" in subject.arguments else {}


_COPY_HINT = """
# keep clients, locks and generators in private attributes, made when they are needed,
# and leave them out of copies
_client: Client | None = PrivateAttr(default=None)
def __getstate__(self) -> dict:
    state = super().__getstate__()
    return {**state, "__pydantic_private__": {**state["__pydantic_private__"], "_client": None}}
def __deepcopy__(self, memo: dict | None = None) -> Self:
    return self.model_copy(update={})  # with private attributes of its own
"""


@statement(
    "A05",
    "`copy.deepcopy` works, and the copy answers.",
    why="LangGraph's state, evaluators and configuration code copy what they are given.",
    hint=_COPY_HINT,
    needs=("answer",),
)
def deep_copy(subject: Subject) -> None:
    """Copy a fresh model and ask the copy."""
    _answers(subject, _copied(copy.deepcopy, subject.model(), "copy.deepcopy"), "the copy")


@statement(
    "A06",
    "A round trip through pickle works, and the copy answers.",
    why="multiprocessing, Ray, Dask, Celery and joblib send models to other processes so.",
    hint=_COPY_HINT,
    needs=("answer",),
)
def pickling(subject: Subject) -> None:
    """Pickle a fresh model, load it, and ask what was loaded."""
    _answers(subject, _copied(subject.pickled, subject.model(), "pickle"), "the loaded model")


@statement(
    "A06b",
    "Copying and pickling still work after the model was used, synchronously and asynchronously.",
    why="Clients that are made at the first call end up in the model's attributes, and cannot be copied.",
    hint=_COPY_HINT,
    needs=("answer",),
)
def copies_of_a_used_model(subject: Subject) -> None:
    """Use a model by invoke, ainvoke and stream, then copy and pickle it and ask the copies."""
    model = subject.model()
    for path in ("invoke", "ainvoke", "stream"):
        subject.ask(model, None, path).answer  # noqa: B018 - an error here is a failure
    _answers(subject, _copied(copy.deepcopy, model, "copy.deepcopy after use"), "the copy")
    _answers(subject, _copied(subject.pickled, model, "pickle after use"), "the loaded model")


def _copied(how: Callable[[Any], Any], model: BaseChatModel, name: str) -> Any:
    try:
        return how(model)
    except Exception as error:
        raise Failed(f"{name} raised {shown(error)}") from error


def _answers(subject: Subject, model: Any, which: str) -> None:
    _same(subject, subject.ask(model).answer, which)


def _same(subject: Subject, message: Any, which: str) -> None:
    """The message says what the model always says; where that is not always the same, that it says something."""
    try:
        expected = subject.answer()
    except NotObserved:
        return
    if message.text != expected:
        raise Failed(f"{which} gave {message.text!r}", repr(expected))


@statement(
    "A07",
    "No secret shows in repr, str, dumps, asdict, invocation parameters or the cache key; its attribute is a "
    "SecretStr.",
    why="Keys end up in logs, traces and shared caches.",
    hint="""
    api_key: SecretStr = Field(default_factory=secret_from_env("ACME_API_KEY"))
    # and keep it out of `_identifying_params` and of clients that are public attributes
    """,
)
def hidden_secrets(subject: Subject) -> None:
    """Plant a marked key in each secret field, and search every way in which a model is shown."""
    if plain := plain_secret_fields(subject.cls):
        raise Failed(f"{', '.join(plain)}: declared as plain text", "a SecretStr")
    model = subject.model(**_marked_keys(subject))
    seen = [name for name, text in _renderings(subject, model) if MARKED_KEY in text]
    if seen:
        raise Failed(f"the key shows in {', '.join(seen)}")


def _marked_keys(subject: Subject) -> dict[str, Any]:
    secrets = secret_fields(subject.cls)
    if not secrets:
        raise NotApplicable("it has no secrets")
    return {argument_name(subject.cls, name): MARKED_KEY for name in secrets}


def _renderings(subject: Subject, model: BaseChatModel) -> Iterator[tuple[str, str]]:
    start = subject.start(model)
    yield "repr", repr(model)
    yield "str", str(model)
    yield "dumps", dumps(model)
    yield "asdict", repr(model.asdict())
    yield "vars", repr(vars(model))
    yield "the invocation parameters", repr(start.more.get("invocation_params"))
    yield "the trace's metadata", repr(start.more.get("metadata"))
    yield "the trace's `serialized`", repr(start.more["serialized"])
    yield "the cache key", subject.key(model)
    try:
        yield "model_dump_json", model.model_dump_json()
    except Exception:  # noqa: BLE001 - a client in a field: another statement's business
        return


@statement(
    "A12",
    "Secrets are read from the documented environment variable, and a missing one gives an error that names it.",
    why="It is the first thing that a new user meets.",
    hint="""
    api_key: SecretStr = Field(
        default_factory=secret_from_env("ACME_API_KEY", error_message="Set ACME_API_KEY, or pass api_key=...")
    )
    """,
)
def secrets_from_the_environment(subject: Subject) -> None:
    """Set and clear the variables that `lc_secrets` names, and make models without giving the secret."""
    fields = secret_fields(subject.cls)
    named = {name: variable for name, variable in subject.real().lc_secrets.items() if name in fields}
    if not named:
        raise NotApplicable("`lc_secrets` names no environment variable for a field of its own")
    for name, variable in named.items():
        left_out = {argument_name(subject.cls, name): OMIT}
        with _environment(variable, MARKED_KEY):
            found = getattr(subject.real(**left_out), name)
            if not (isinstance(found, SecretStr) and found.get_secret_value() == MARKED_KEY):
                raise Failed(f"{variable} is set, and {name} is not what it holds")
        with _environment(variable, None):
            _named_if_missing(subject, left_out, variable)


def _named_if_missing(subject: Subject, left_out: dict[str, Any], variable: str) -> None:
    try:
        subject.ask(subject.model(**left_out)).answer  # noqa: B018 - an error here is looked at below
    except NotObserved:
        raise
    except Exception as error:
        told = f"{error} {getattr(error, 'observed', '')}"
        if variable not in told:
            raise Failed(f"without {variable}, the error is {shown(error)}", "an error that names it") from error


@contextmanager
def _environment(name: str, value: str | None) -> Generator[None, None, None]:
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@statement(
    "A13",
    "A field with an alias takes a value by both of its names, and a copy keeps it.",
    why="`model` and `model_name`, `api_key` and `acme_api_key` are used side by side; one that is ignored is a "
    "silent default.",
    hint="model_config = ConfigDict(populate_by_name=True)",
)
def both_names(subject: Subject) -> None:
    """Construct by either name of each field that has two, and look at the field, also in a copy."""
    twins = {name: field.alias for name, field in own_fields(subject.cls).items() if field.alias}
    texts = {name: alias for name, alias in twins.items() if isinstance(getattr(subject.real(), name), str | SecretStr)}
    if not texts:
        raise NotApplicable("it has no field with an alias that takes text")
    for name, alias in texts.items():
        for used in (name, alias):
            model = subject.real(**{used: "by-this-name"})
            for which, one in (("the model", model), ("its copy", model.model_copy())):
                if not holds([getattr(one, name)], "by-this-name"):
                    raise Failed(f"{used}=... does not set {name!r} of {which}")


@statement(
    "A08",
    "Two instances share no mutable state.",
    why="What one tenant sets (metadata, keyword arguments) reaches another's calls.",
    hint="metadata: dict = Field(default_factory=dict)  # never one dict or list for all",
)
def nothing_shared(subject: Subject) -> None:
    """Compare, by identity, the dicts, lists and sets of two models that were made alike."""
    one, other = subject.real(), subject.real()
    if one is other:
        raise NotObserved("the model cannot be made a second time")
    given = [id(value) for value in subject.arguments.values()]
    shared = [
        name
        for name, value in vars(one).items()
        if isinstance(value, dict | list | set) and value is vars(other).get(name) and id(value) not in given
    ]
    if shared:
        raise Failed(f"two instances have the same object as {', '.join(shared)}")


@statement(
    "A09",
    "`asdict()` works and is JSON data, and the class overrides `_identifying_params`, not `dict`.",
    why="`dict` is deprecated since langchain-core 1.4.2; cache keys and traces use `_identifying_params`.",
    hint="""
    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "temperature": self.temperature}  # plain JSON values, no secrets
    """,
)
def as_a_dict(subject: Subject) -> None:
    """Dump `asdict()` as JSON, and look at who defines `dict`."""
    told = subject.model().asdict()
    try:
        json.dumps(told)
    except (TypeError, ValueError) as error:
        raise Failed(f"asdict() is not JSON data: {shown(error)}") from error
    if subject.overrides("dict"):
        raise Failed(f"{subject.cls.__name__} overrides `dict`", "`_identifying_params`")


@statement(
    "A10",
    "get_input_jsonschema, get_output_jsonschema, get_graph and get_name work.",
    why="What serves a chain or draws it asks for them.",
    hint="Leave them as the base class has them, and give fields types that pydantic can describe.",
)
def described(subject: Subject) -> None:
    """Call each of them."""
    model = subject.model()
    for name in ("get_input_jsonschema", "get_output_jsonschema", "get_graph", "get_name"):
        try:
            told = getattr(model, name)()
        except Exception as error:
            raise Failed(f"{name}() raised {shown(error)}") from error
        if not told:
            raise Failed(f"{name}() gave {told!r}")


@statement(
    "A14",
    "Overriding hooks keep the base class's behaviour: `model_post_init`, validators of the same name.",
    why="pydantic replaces a validator of the same name: the profile and the package versions are lost without a word.",
    hint="""
    @model_validator(mode="after")
    def _set_acme_version(self) -> Self:   # a name of its own, not one of langchain-core's
        self._add_version("langchain-acme", __version__)
        return self
    def _resolve_model_profile(self) -> ModelProfile | None: ...   # for the profile
    """,
)
def hooks_kept(subject: Subject) -> None:
    """Compare the class's validators with langchain-core's of the same names, and look at what they leave."""
    theirs, ours = BaseChatModel.__pydantic_decorators__, subject.cls.__pydantic_decorators__
    replaced = [
        name
        for kind in ("model_validators", "field_validators")
        for name, validator in getattr(theirs, kind).items()
        if _function(getattr(ours, kind).get(name)) is not _function(validator)
    ]
    if replaced:
        raise Failed(f"it replaces langchain-core's validators {', '.join(sorted(set(replaced)))}")
    if "langchain-core" not in ((subject.real().metadata or {}).get("lc_versions") or {}):
        raise Failed("metadata['lc_versions'] lacks langchain-core: `model_post_init` is overridden without `super()`")


def _function(validator: Any) -> Any:
    found = getattr(validator, "func", None)
    return getattr(found, "__func__", found)
