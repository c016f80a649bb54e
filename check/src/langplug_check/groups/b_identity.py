"""Group B: identity, tracing parameters, serialisation, cache key."""

import json
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps, loads
from pydantic import SecretStr

from langplug.models import ChatAdopted
from langplug_check.fields import (
    MARKED_KEY,
    argument_name,
    own_fields,
    secret_fields,
    telling_fields,
    variants,
)
from langplug_check.groups._addresses import ADDRESS
from langplug_check.groups._secrets import marked_keys
from langplug_check.paths import allow_beta, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Advisory, Failed, NotApplicable, NotObserved

_IDENTIFYING_HINT = """
@property
def _identifying_params(self) -> dict[str, Any]:
    # every field that may change an answer, base_url among them, as plain JSON values; no secret.
    # Not under the name "stop": langchain-core puts the stop strings of a call there
    return {"model_name": self.model_name, "temperature": self.temperature, "stop_sequences": self.stop}
"""

_LIVE_KEY_HINT = """
# langchain-core keeps what it serialised first: compute the key from the fields as they are now
def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
    params = {**self._identifying_params, **kwargs, "_type": self._llm_type, "stop": stop}
    return json.dumps(params, sort_keys=True, default=repr)
"""

_LS_HINT = """
def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
    params = super()._get_ls_params(stop=stop, **kwargs)
    params["ls_provider"] = "acme"
    params["ls_model_name"] = kwargs.get("model", self.model_name)
    params["ls_temperature"] = kwargs.get("temperature", self.temperature)
    if in_force := (stop or self.stop):
        params["ls_stop"] = in_force
    return params
"""

# --- tracing ---


def _traced_metadata(subject: Subject, model: BaseChatModel, /, **kwargs: Any) -> dict[str, Any]:
    """The metadata of a run as handlers get them: langchain-core merges the `_get_ls_params` of the call into them."""
    return dict(subject.start(model, **kwargs).more.get("metadata") or {})


@statement(
    "B01",
    "The tracing parameters name the provider, the model, and the kind of model: `ls_model_type='chat'`.",
    why="LangSmith's cost tables and OpenTelemetry exporters look a run up by these names.",
    hint=_LS_HINT,
)
def traced_by_name(subject: Subject) -> str:
    """Read the metadata that a handler gets as a run starts."""
    # From a handler, not from `_get_ls_params()` itself as langchain-tests does: this is what tracers see.
    metadata = _traced_metadata(subject, subject.model())
    missing = [name for name in ("ls_provider", "ls_model_name") if not metadata.get(name)]
    if missing:
        raise Failed(f"a run's metadata lacks {', '.join(missing)}")
    if metadata.get("ls_model_type") != "chat":
        raise Failed(f"ls_model_type is {metadata.get('ls_model_type')!r}", "'chat'")
    return f"{metadata['ls_provider']} / {metadata['ls_model_name']}"


@statement(
    "B02",
    "The tracing parameters follow `model`, `temperature`, `max_tokens` and `stop` of a single call.",
    rank="could",
    why="Otherwise traces blame the wrong model and the wrong settings.",
    hint=_LS_HINT,
)
def traced_as_called(subject: Subject) -> None:
    """Call with all four, and read the metadata that a handler gets."""
    given = {"model": "another-model", "temperature": 0.375, "max_tokens": 137, "stop": ["STOP-HERE"]}
    metadata = _traced_metadata(subject, subject.model(), **given)
    for name, value in given.items():
        traced = "ls_model_name" if name == "model" else f"ls_{name}"
        if metadata.get(traced) != value:
            raise Failed(f"called with {name}={value!r}, {traced} is {metadata.get(traced)!r}", repr(value))


@statement(
    "B03",
    "Stop strings of the constructor appear as `ls_stop`.",
    rank="could",
    why="A trace has to say why an answer ended where it did.",
    hint=_LS_HINT,
)
def traced_stop(subject: Subject) -> None:
    """Construct with a stop string, and read the metadata that a handler gets."""
    # langchain-core's `_get_ls_params` knows the stop strings of a call only: a class with a `stop` field adds its own.
    if not subject.takes("stop"):
        raise NotApplicable("its constructor takes no stop strings")
    metadata = _traced_metadata(subject, subject.model(stop=["STOP-HERE"]))
    if metadata.get("ls_stop") != ["STOP-HERE"]:
        raise Failed(f"ls_stop is {metadata.get('ls_stop')!r}", "['STOP-HERE']")


@statement(
    "B10",
    "`ls_integration`, which langchain-core adds, reaches handlers.",
    rank="could",
    why="Traces are attributed by it.",
    hint="Override `_get_ls_params` alone, and start from what `super()` gives.",
)
def traced_integration(subject: Subject) -> None:
    """Read the metadata that a handler gets."""
    # `_get_ls_params_with_defaults` adds it: a class that overrides that one, too, takes it out.
    metadata = _traced_metadata(subject, subject.model())
    if not metadata.get("ls_integration"):
        raise Failed(f"a run's metadata has no ls_integration, only {sorted(metadata)}")


# --- cache key ---


@statement(
    "B04",
    "Two instances that differ in any field that may change an answer have different cache keys.",
    rank="must",
    why="With a shared cache, one model is served another's answers.",
    hint=_IDENTIFYING_HINT,
    limit_s=40.0,
)
def keys_tell_apart(subject: Subject) -> str:
    """For each such field make a model with another value, and compare the keys by which the two ask the cache."""
    # A class that is not serialisable has only `_identifying_params` in its key, which default to {}: two models with
    # different settings then share their answers. lc#14590, lc#6396 and lc#19328 were this, class by class.
    key = subject.key(subject.model())
    tried, ignored = [], []
    for name, model in _varied(subject):
        tried.append(name)
        if subject.key(model) == key:
            ignored.append(name)
    if ignored:
        raise Failed(f"the cache key does not follow {', '.join(ignored)}")
    if not tried:
        raise NotApplicable("it has no field of its own that may change an answer")
    return f"the key follows {', '.join(tried)}"


def _varied(subject: Subject) -> Iterator[tuple[str, BaseChatModel]]:
    """Each field that may change an answer, and a model in which it has another value."""
    example = subject.model()
    for name, field in telling_fields(subject.cls).items():
        for value in variants(field, getattr(example, name, None)):
            try:
                model = subject.model(**{argument_name(subject.cls, name): value})
            except NotObserved:
                raise
            except Exception:  # noqa: BLE001, S112 - a value that it does not take: try the next one
                continue
            # A validator may have put the value back, or clipped it: then there is nothing to tell apart.
            if getattr(model, name, None) != getattr(example, name, None):
                yield name, model
                break


@statement(
    "B05",
    "Equal instances have equal cache keys, which hold no memory address and no secret.",
    rank="must",
    why="A key that differs each time makes a persistent cache useless; a key with a secret leaks it.",
    hint=_IDENTIFYING_HINT,
)
def keys_are_stable(subject: Subject) -> None:
    """Compare the keys of two models that were made alike, and search them for addresses and a marked key."""
    one, other = (subject.key(subject.model()) for _ in range(2))
    # An address first: it makes keys differ between processes, even where they happen to be equal in this one.
    if found := ADDRESS.search(one):
        around = one[max(0, found.start() - 40) : found.end() + 10]
        raise Failed(f"the key holds a memory address: ...{around}...")
    if one != other:
        pairs = enumerate(zip(one, other, strict=False))
        at = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
        parts = [text[max(0, at - 30) : at + 30] for text in (one, other)]
        raise Failed(f"two models that were made alike have different keys: ...{parts[0]!r} and ...{parts[1]!r}")
    if secret_fields(subject.cls) and MARKED_KEY in subject.key(subject.model(**marked_keys(subject))):
        raise Failed("the key holds a secret")


@statement(
    "B06",
    "The cache key follows the assignment of a field, and `model_copy(update=...)`, after first use.",
    why="The old model's answer is served for the new one: langchain-core keeps for good what it serialised first.",
    hint=_LIVE_KEY_HINT,
    link="https://github.com/langchain-ai/langchain/issues/39598",
)
def keys_follow_changes(subject: Subject) -> None:
    """Ask for the key, change a field that is part of it, and ask again."""
    # `BaseChatModel._serialized` is a cached_property: the key of a serialisable model is frozen at its first use, and
    # `model_copy` copies the frozen one.
    for name, other in _varied(subject):
        changed, value = subject.model(), getattr(other, name)
        before = subject.key(changed)
        if before == subject.key(other):
            continue  # the key does not follow this field at all, which is for B04 to say
        copied = subject.key(changed.model_copy(update={name: value}))
        setattr(changed, name, value)
        if subject.key(changed) == before:
            raise Failed(f"after an assignment to {name}, the key is still the old one")
        if copied == before:
            raise Failed(f"after model_copy(update={{{name!r}: ...}}), the key is still the old one")
        return
    raise NotObserved("no field counts in the cache key: see B04")


# --- serialisation ---


@statement(
    "B07",
    "`metadata['lc_versions']` holds the versions of langchain-core and of the integration's own package.",
    rank="could",
    why="Without them, nobody can tell from a trace which release produced it.",
    hint="""
    @model_validator(mode="after")
    def _set_acme_version(self) -> Self:
        self._add_version("langchain-acme", __version__)
        return self
    """,
)
def versions_recorded(subject: Subject) -> None:
    """Read the model's metadata."""
    versions = (subject.real().metadata or {}).get("lc_versions") or {}
    # The distribution that the class's top-level package belongs to. A class of a script belongs to none.
    package = packages_distributions().get(subject.cls.__module__.partition(".")[0], [])[:1]
    wanted = {"langchain-core", *(name.replace("_", "-") for name in package)}
    known = {name.replace("_", "-").casefold() for name in versions}
    missing = sorted(name for name in wanted if name.casefold() not in known)
    if missing:
        raise Failed(f"metadata['lc_versions'] is {versions!r}: no {', '.join(missing)}")


@statement(
    "B08",
    "If it claims to be serialisable, `loads(dumps(model))` gives an equal, working model with its secrets from "
    "`secrets_map`; if not, its dump is an honest `not_implemented`.",
    why="Prompt hubs, LangServe and `dumps(chain)` rely on it.",
    hint="""
    @classmethod
    def is_lc_serializable(cls) -> bool:
        return False   # unless loads() makes the same model from the constructor's arguments
    """,
)
def honest_dump(subject: Subject) -> str:
    """Dump it, load the dump, and compare the fields."""
    model = subject.real(**marked_keys(subject))
    dumped = json.loads(dumps(model))
    if not type(model).is_lc_serializable():
        if dumped["type"] != "not_implemented" or dumped["id"][-1] != type(model).__name__:
            raise Failed(f"the dump is of type {dumped['type']!r}, id {dumped['id']}", "an honest 'not_implemented'")
        return "not serialisable, and says so"
    try:
        with allow_beta():
            # The class and its package are named: `allowed_objects="all"` means the classes of langchain-core's own
            # mapping, so that langchain-tests' `test_serdes` cannot pass for a class outside of it.
            loaded = loads(
                dumps(model),
                secrets_map=dict.fromkeys(model.lc_secrets.values(), MARKED_KEY),
                allowed_objects=[type(model)],
                valid_namespaces=[type(model).__module__.partition(".")[0]],
            )
    except Exception as error:
        raise Failed(f"loads(dumps(model)) raised {error_text(error)}") from error
    for name in own_fields(subject.cls):
        before, after = getattr(model, name, None), getattr(loaded, name, None)
        # Clients and functions are made anew, so of these only the type can be the same.
        is_plain = isinstance(before, SecretStr | str | int | float | bool | list | dict | tuple | None)
        if after != before if is_plain else _name_of_type(after) != _name_of_type(before):
            raise Failed(f"after loads(dumps(model)), {name} is {after!r}")
    return "serialisable, and loaded as it was"


def _name_of_type(value: Any) -> str:
    """The full name of its type. Some libraries make a class for each client, all of one name."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


@statement(
    "B09",
    "A dump carries no secret, nor does its `repr`.",
    rank="must",
    why="It is part of every trace, as `serialized`.",
    hint="api_key: SecretStr   # and no client with the key in a public field",
)
def dump_without_secrets(subject: Subject) -> None:
    """Plant a marked key in each secret field; search the dump, and the `serialized` that a handler gets."""
    if not secret_fields(subject.cls):
        raise NotApplicable("it has no secrets")
    # The dump of a class that is not serialisable holds its `repr`, see `Serializable.to_json_not_implemented`.
    model = subject.model(**marked_keys(subject))
    for name, text in (("the dump", dumps(model)), ("`serialized`", repr(subject.start(model).more["serialized"]))):
        if MARKED_KEY in text:
            raise Failed(f"{name} holds the key: ...{text[max(0, text.index(MARKED_KEY) - 40) :][:90]}...")


@statement(
    "B11",
    "`lc_secrets` maps every secret field to its environment variable, and a package outside LangChain does not "
    "override `get_lc_namespace`.",
    rank="could",
    why="Dumps leave out, and loads fill in, only mapped secrets; the namespace decides which class is loaded.",
    hint="""
    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"api_key": "ACME_API_KEY"}
    """,
)
def secrets_mapped(subject: Subject) -> None:
    """Compare the `SecretStr` fields with `lc_secrets`."""
    # langchain-core says so in `get_lc_namespace`: older packages of LangChain's own override it, new ones must not.
    is_langchains = subject.cls.__module__.startswith("langchain")
    namespace = list(subject.cls.get_lc_namespace())
    if not is_langchains and namespace != subject.cls.__module__.split("."):
        raise Failed(f"get_lc_namespace() gives {namespace}, not the module of the class")
    mapped = subject.real().lc_secrets
    fields = {name: subject.cls.model_fields[name] for name in secret_fields(subject.cls)}
    unmapped = [name for name, field in fields.items() if not {name, field.alias} & set(mapped)]
    # A secret that is required, or read from the environment, must be mapped. One that defaults to None may be a second
    # way to log in: advice is enough.
    needed = [name for name in unmapped if fields[name].is_required() or fields[name].default_factory]
    if needed or (unmapped and not mapped):
        raise Failed(f"lc_secrets is {mapped}: no {', '.join(needed or unmapped)}")
    if unmapped:
        raise Advisory(f"lc_secrets names no variable for {', '.join(unmapped)}")


FOREIGN_TYPES = frozenset(
    {
        "openai-chat",
        "azure-openai-chat",
        "anthropic-chat",
        "chat-ollama",
        "mistral-chat",
        "chat-deepseek",
        "groq-chat",
        "xai-chat",
        "litellm-chat",
        "huggingface-chat-wrapper",
        "llamacpp",
        "fake-list-chat-model",
        "chat",
        "llm",
        "custom",
    }
)
"""The `_llm_type` of known classes, and words that say nothing."""


@statement(
    "B12",
    "`_llm_type` is a constant, unique, non-empty string.",
    rank="could",
    why="It is part of the cache key and of traces: models of one type must be models of one class.",
    hint="""
    @property
    def _llm_type(self) -> str:
        return "chat-acme"
    """,
)
def constant_type(subject: Subject) -> str:
    """Read it from a model, and from models with other settings."""
    # `asdict()["_type"]` is the `_llm_type`: see `BaseChatModel.asdict`.
    kind = subject.real().asdict().get("_type")
    if not isinstance(kind, str) or not kind:
        raise Failed(f"_llm_type is {kind!r}")
    for name, other in _varied(subject):
        if (changed := other.asdict().get("_type")) != kind:
            raise Failed(f"_llm_type is {kind!r}, and with another {name} {changed!r}", "the same for all")
    example = subject.real()
    theirs = example.adopted if isinstance(example, ChatAdopted) else example  # whose type it keeps
    if kind in FOREIGN_TYPES and not type(theirs).__module__.startswith("langchain"):
        raise Failed(f"_llm_type is {kind!r}, which others use", "a word of its own")
    return kind
