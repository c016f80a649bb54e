"""Group A: construction, configuration, secrets."""

import asyncio
import copy
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
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
from langplug_check.groups._environment import environment
from langplug_check.groups._secrets import marked_keys
from langplug_check.paths import error_text
from langplug_check.process.offline import block_network
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable, NotObserved, PartlyObserved

NONSENSE = "langplug_nonsense"


@statement(
    "A01",
    "An unknown constructor keyword is rejected, warned about, or forwarded, and never silently dropped.",
    why="LangChain's base class ignores keywords that it does not know: a typo such as `temprature=0` changes nothing, "
    "and nobody notices.",
    hint="""
    model_config = ConfigDict(extra="forbid")
    streaming: bool = False     # and every other keyword that users may give: LangChain itself sets this one
    # or, to forward unknown keywords:
    @model_validator(mode="before")
    @classmethod
    def _collect_unknown(cls, values: dict) -> dict:
        return _build_model_kwargs(values, get_pydantic_field_names(cls))  # langchain_core.utils
    """,
)
def unknown_keyword(subject: Subject) -> str:
    """Pass the constructor a nonsense keyword; look for an error, a warning, or a place where it is kept."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = subject.real(**{NONSENSE: "kept?"})
        except NotObserved:
            raise
        except Exception as error:  # noqa: BLE001 - any error will do
            return f"rejected: {error_text(error)}"
    if any(NONSENSE in str(warning.message) for warning in caught):
        return "warned about"
    # langchain-core's `Serializable` sets extra="ignore", so what no validator collects is gone by now.
    # `model_kwargs` is in `vars`; a class with extra="allow" has it in `model_extra`.
    if holds(vars(model), "kept?") or holds(model.model_extra or {}, "kept?"):
        return "kept, to be forwarded"
    raise Failed(f"{subject.cls.__name__}({NONSENSE}=...) is accepted, and the argument is gone")


STANDARD: dict[str, Any] = {
    "temperature": 0.375,
    "max_tokens": 137,
    "timeout": 73.25,
    "max_retries": 37,
    "stop": ["STOP-HERE"],
    "api_key": "sk-given",
    "base_url": "http://127.0.0.1:9/given",
}
"""LangChain's standard parameters, each with a value that nothing else has by chance."""

ON_THE_WIRE = ("temperature", "max_tokens")
"""Those that every API knows under some name. The others concern the client, or have statements of their own."""


@statement(
    "A02",
    "The standard parameters temperature, max_tokens, timeout, max_retries, stop, api_key and base_url are accepted "
    "and kept.",
    why="Users who swap one model for another expect the same arguments to mean the same.",
    hint="""
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    max_retries: int = 2
    stop: list[str] | None = None
    api_key: SecretStr | None = Field(default_factory=secret_from_env("ACME_API_KEY", default=None))
    base_url: str | None = None
    # and pass each of them on to the backend; for a secret, see B11 about `lc_secrets`
    """,
    link="https://docs.langchain.com/oss/python/langchain/models#parameters",
)
def standard_parameters(subject: Subject) -> None:
    """Construct with each in turn; look for the value on the instance and, if there is a server, on the wire."""
    problems, unseen = [], []
    for name, value in STANDARD.items():
        try:
            model = subject.model(**{name: value})
        except NotObserved as reason:
            unseen.append(str(reason))
            continue
        except Exception as error:  # noqa: BLE001 - it is part of the report
            problems.append(f"{name} is refused ({error_text(error)})")
            continue
        # langchain-tests' test_init only constructs. A value that is accepted and dropped looks the same from there.
        if not holds(vars(model), value):
            problems.append(f"{name} is dropped")
        elif name in ON_THE_WIRE and not subject.lacks("backend"):
            subject.ask(model)
            # Depth 6: APIs nest their parameters, such as `generationConfig` or `options` in a `body`.
            if not any(holds(exchange.body, value, 6) for exchange in subject.exchanges):
                problems.append(f"{name} does not reach the server")
    if problems:
        raise Failed("; ".join(problems))
    if unseen:
        raise (PartlyObserved if len(unseen) < len(STANDARD) else NotObserved)("; ".join(unseen))


@statement(
    "A03",
    "The constructor does no network I/O.",
    why="A model that phones home as it is made breaks imports in tests, and slows down serverless cold starts.",
    hint="Create clients lazily, at the first call, and look nothing up in `__init__` or in validators.",
)
def silent_constructor(subject: Subject) -> None:
    """Construct a model while sockets refuse to connect and host names are not resolved."""
    # Loopback counts too: a local server that is not running yet must not break the constructor either.
    with block_network(loopback=False) as attempts:
        try:
            subject.real()
        except Exception:
            if not attempts:
                raise
    if attempts:
        raise Failed(f"the constructor tried to reach {', '.join(sorted(set(attempts)))}")


# langchain-core is imported before the threads are counted: what it starts is not the package's doing.
_IMPORT = """
import importlib, json, sys, threading
sys.path[:] = json.loads(sys.argv[2])
import langchain_core.language_models
from langplug_check.process.offline import block_network
before = {thread.name for thread in threading.enumerate()}
with block_network(loopback=False) as attempts:
    importlib.import_module(sys.argv[1])
threads = sorted({thread.name for thread in threading.enumerate()} - before)
print("\\n" + json.dumps({"attempts": attempts, "threads": threads}))
"""


@statement(
    "A11",
    "Importing the package does no network I/O and starts no threads.",
    rank="could",
    why="An import must not hang without a network, nor start threads, which a fork would lose.",
    hint="Move what the module does on import into the constructor of what needs it, or into the first call.",
    risky=True,
    limit_s=60.0,
)
def silent_import(subject: Subject) -> None:
    """Import the class's module in a new process in which sockets refuse to connect; list its threads."""
    module = subject.cls.__module__
    if module == "__main__":
        raise NotObserved("the class is defined in the running script, which cannot be imported again")
    # A new process: in this one the module has been imported already, and an import happens once.
    done = subprocess.run(  # noqa: S603 - this interpreter, with the code above
        [sys.executable, "-c", _IMPORT, module, json.dumps(sys.path)],
        capture_output=True,
        text=True,
        timeout=50,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        # A class of a test file or a notebook: no fault of the package.
        if "ModuleNotFoundError" in done.stderr and module in done.stderr:
            raise NotObserved(f"the module {module!r} cannot be imported in a new process")
        raise Failed(f"importing {module!r} failed: {done.stderr.strip().splitlines()[-1]}")
    # The last line: the module may print as it is imported.
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
    Create asynchronous clients in the coroutine that needs them, one for each loop:
    _clients: WeakKeyDictionary[AbstractEventLoop, Client] = PrivateAttr(default_factory=WeakKeyDictionary)
    """,
    needs=("answer",),
)
def in_and_out_of_a_loop(subject: Subject) -> None:
    """Make one inside a loop and use it outside, and the other way round, synchronously and asynchronously."""
    # With the retries that it ships with: recipes turn them off, but some clients need one to recover from a connection
    # whose loop is gone. M03 is about that defect; here only the construction counts.
    as_shipped = {"max_retries": OMIT} if "max_retries" in subject.arguments else {}

    async def made_inside() -> BaseChatModel:
        return place.model(**as_shipped)

    async def used_inside(model: BaseChatModel) -> None:
        _check_answer(place, model.invoke(place.prompt), "invoke inside a loop")
        _check_answer(place, await model.ainvoke(place.prompt), "ainvoke of a model made outside a loop")

    # Each with a server of its own: clients that a package shares by address, as langchain-openai does, still have the
    # connections of a loop that has ended. That is M03's defect, too.
    with subject.with_own_backend() as place:
        inside = run(made_inside())
        _check_answer(place, inside.invoke(place.prompt), "invoke of a model made inside a loop")
        # `asyncio.run` makes another loop than the one that the model was made in.
        _check_answer(place, asyncio.run(inside.ainvoke(place.prompt)), "ainvoke on a loop other than the model's")
    with subject.with_own_backend() as place:
        run(used_inside(place.model(**as_shipped)))


_COPY_HINT = """
# keep clients, locks and generators in private attributes, create them when they are needed,
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
    _check_copy(subject, subject.model(), copy.deepcopy, "copy.deepcopy")


@statement(
    "A06",
    "A round trip through pickle works, and the copy answers.",
    why="This is how multiprocessing, Ray, Dask, Celery and joblib send models to other processes.",
    hint=_COPY_HINT,
    needs=("answer",),
)
def pickling(subject: Subject) -> None:
    """Pickle a fresh model, load it, and ask the loaded one."""
    _check_copy(subject, subject.model(), subject.pickle_round_trip, "pickle")


@statement(
    "A06b",
    "Copying and pickling still work after the model was used, synchronously and asynchronously.",
    why="Clients that are created at the first call end up in the model's attributes, and cannot be copied.",
    hint=_COPY_HINT,
    needs=("answer",),
)
def copies_of_a_used_model(subject: Subject) -> None:
    """Use a model by invoke, ainvoke and stream, then copy and pickle it and ask the copies."""
    model = subject.model()
    # All three: a class may create one client for synchronous calls, another for asynchronous ones and streams. A path
    # that fails is what other statements are about: C01, M03, E01.
    outcomes = [subject.ask(model, None, path) for path in ("invoke", "ainvoke", "stream")]
    if all(outcome.error for outcome in outcomes):
        raise NotObserved(f"it could not be used: {error_text(outcomes[0].error)}")
    _check_copy(subject, model, copy.deepcopy, "copy.deepcopy after use")
    _check_copy(subject, model, subject.pickle_round_trip, "pickle after use")


def _check_copy(subject: Subject, model: BaseChatModel, copied: Callable[[Any], Any], name: str) -> None:
    """Fail unless the model can be copied in this way, and the copy gives the model's answer."""
    try:
        twin = copied(model)
    except Exception as error:
        raise Failed(f"{name} raised {error_text(error)}") from error
    _check_answer(subject, subject.ask(twin).answer, f"the copy made by {name}")


def _check_answer(subject: Subject, message: Any, which: str) -> None:
    """Fail unless the message has the text that the model always gives; without a fixed text, any message will do."""
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
    rank="must",
    why="Keys end up in logs, traces and shared caches.",
    hint="""
    api_key: SecretStr = Field(default_factory=secret_from_env("ACME_API_KEY"))
    # and keep it out of `_identifying_params` and of clients that are public attributes
    """,
)
def hidden_secrets(subject: Subject) -> None:
    """Plant a marked key in each secret field, and search every rendering of the model for it."""
    if plain := plain_secret_fields(subject.cls):
        raise Failed(f"{', '.join(plain)}: declared as plain text", "a SecretStr")
    if not secret_fields(subject.cls):
        raise NotApplicable("it has no secrets")
    model = subject.model(**marked_keys(subject))
    start = subject.start(model)
    renderings = {
        "repr": repr(model),
        "str": str(model),
        "dumps": dumps(model),
        "asdict": repr(model.asdict()),
        "vars": repr(vars(model)),
        # What langchain-core hands to every callback handler, and tracers send away.
        "the invocation parameters": repr(start.more.get("invocation_params")),
        "the trace's metadata": repr(start.more.get("metadata")),
        "the trace's `serialized`": repr(start.more["serialized"]),
        "the cache key": subject.key(model),
    }
    with suppress(Exception):  # a client in a field, say, cannot be dumped: that is no leak
        renderings["model_dump_json"] = model.model_dump_json()
    if seen := [name for name, text in renderings.items() if MARKED_KEY in text]:
        raise Failed(f"the key shows in {', '.join(seen)}")


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
    """Set and clear the variables that `lc_secrets` names, and construct models without passing the secret."""
    fields = secret_fields(subject.cls)
    # `lc_secrets` is langchain-core's only place where a class documents its variables.
    variables = {name: variable for name, variable in subject.real().lc_secrets.items() if name in fields}
    if not variables:
        raise NotApplicable("`lc_secrets` names no environment variable for a field of its own")
    for name, variable in variables.items():
        argument = argument_name(subject.cls, name)
        subject.real(**{argument: MARKED_KEY})  # nothing is observed if the model has something else in its place
        left_out = {argument: OMIT}
        with environment(variable, MARKED_KEY):
            found = getattr(subject.real(**left_out), name)
            if not (isinstance(found, SecretStr) and found.get_secret_value() == MARKED_KEY):
                raise Failed(f"{variable} is set, and {name} does not have its value")
        with environment(variable, None):
            # The constructor may refuse, or the first call: either is early enough. No error at all is fine too, for a
            # server that wants no key.
            try:
                subject.ask(subject.model(**left_out)).answer  # noqa: B018 - an error here is looked at below
            except NotObserved:
                raise
            except Exception as error:
                # `answer` wraps an error of the call in a Failed, whose `observed` has its text.
                if variable not in f"{error} {getattr(error, 'observed', '')}":
                    raise Failed(
                        f"without {variable}, the error is {error_text(error)}", "an error that names the variable"
                    ) from error


@statement(
    "A13",
    "A field with an alias accepts a value under either name, and a copy keeps it.",
    rank="could",
    why="`model` and `model_name`, `api_key` and `acme_api_key` are used side by side; if one is ignored, the default "
    "takes effect without a word.",
    hint="model_config = ConfigDict(populate_by_name=True)",
)
def both_names(subject: Subject) -> None:
    """Construct by either name of each field that has two, and read the field, also in a copy."""
    twins = {name: field.alias for name, field in own_fields(subject.cls).items() if field.alias}
    # Only text can be given without knowing the class: any text will do for a name or a key.
    texts = {name: alias for name, alias in twins.items() if isinstance(getattr(subject.real(), name), str | SecretStr)}
    if not texts:
        raise NotApplicable("it has no field with an alias that takes text")
    example = subject.real()
    values = {
        # An address is read as one.
        name: "https://by.this.name/v1" if "://" in str(getattr(example, name)) else "by-this-name"
        for name in texts
    }
    for name, alias in texts.items():
        for used in (name, alias):
            value = values[name]
            try:
                model = subject.real(**{used: value})
            except Exception as error:
                if not _takes_either(subject, (name, alias), value):  # then the kit's value does not suit the field
                    raise NotObserved(f"{name} does not take {value!r}: {error_text(error)}") from error
                raise Failed(
                    f"{used}={value!r} raised {error_text(error)}, and by its other name it is taken"
                ) from error
            for which, one in (("the model", model), ("its copy", model.model_copy())):
                if not holds([getattr(one, name)], value):
                    raise Failed(f"{used}=... does not set {name!r} of {which}")


def _takes_either(subject: Subject, names: Sequence[str], value: str) -> bool:
    """Whether the class takes a value by one of these names at least."""
    for name in names:
        with suppress(Exception):
            subject.real(**{name: value})
            return True
    return False


@statement(
    "A08",
    "Two instances share no mutable state.",
    rank="must",
    why="What one tenant sets (metadata, keyword arguments) reaches another tenant's calls.",
    hint="metadata: dict = Field(default_factory=dict)  # never one dict or list for all instances",
)
def nothing_shared(subject: Subject) -> None:
    """Compare, by identity, the dicts, lists and sets of two models that were made alike."""
    one, other = subject.real(), subject.real()
    if one is other:
        raise NotObserved("the model cannot be made a second time")
    # What the caller passed to both constructors is the caller's, and may be shared.
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
    rank="could",
    why="`dict` is deprecated since langchain-core 1.4.2; cache keys and traces use `_identifying_params`.",
    hint="""
    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "temperature": self.temperature}  # plain JSON values, no secrets
    """,
)
def as_a_dict(subject: Subject) -> None:
    """Dump `asdict()` as JSON, and look at who defines `dict`."""
    params = subject.model().asdict()
    try:
        json.dumps(params)
    except (TypeError, ValueError) as error:
        raise Failed(f"asdict() is not JSON data: {error_text(error)}") from error
    # Core still calls an override of `dict`, by `_dict_for_compat`, and announces its removal for 2.0.
    if subject.overrides("dict"):
        raise Failed(f"{subject.cls.__name__} overrides `dict`", "`_identifying_params`")


@statement(
    "A10",
    "get_input_jsonschema, get_output_jsonschema, get_graph and get_name work.",
    rank="could",
    why="Tools that serve a chain or draw it, such as LangServe and Studio, call them.",
    hint="Leave them as the base class has them, and give fields types that pydantic can describe.",
)
def described(subject: Subject) -> None:
    """Call each of them."""
    model = subject.model()
    for name in ("get_input_jsonschema", "get_output_jsonschema", "get_graph", "get_name"):
        try:
            value = getattr(model, name)()
        except Exception as error:
            raise Failed(f"{name}() raised {error_text(error)}") from error
        if not value:
            raise Failed(f"{name}() gave {value!r}")


@statement(
    "A14",
    "Overriding hooks keep the base class's behaviour: `model_post_init`, validators of the same name.",
    rank="could",
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
    """Compare the class's validators with langchain-core's of the same names, and look for what core's leave behind."""

    def function(validator: Any) -> Any:
        found = getattr(validator, "func", None)
        return getattr(found, "__func__", found)

    theirs, ours = BaseChatModel.__pydantic_decorators__, subject.cls.__pydantic_decorators__
    # Core's own docstrings warn of it: `_set_model_profile` and `model_post_init` say what to override instead.
    replaced = [
        name
        for kind in ("model_validators", "field_validators")
        for name, validator in getattr(theirs, kind).items()
        if function(getattr(ours, kind).get(name)) is not function(validator)
    ]
    if replaced:
        raise Failed(f"it replaces langchain-core's validators {', '.join(sorted(set(replaced)))}")
    # `model_post_init` seeds this entry; an override without `super()` leaves it out of every trace.
    if "langchain-core" not in ((subject.real().metadata or {}).get("lc_versions") or {}):
        raise Failed("metadata['lc_versions'] lacks langchain-core: `model_post_init` is overridden without `super()`")
