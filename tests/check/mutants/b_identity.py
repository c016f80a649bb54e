"""Mutants of group B, and of what else its section of the contract says."""

from typing import Any, Self

from pydantic import PrivateAttr, model_validator
from tests.check.bench import Reference, mutant


@mutant("B01", "does not name itself in traces")
class Nameless(Reference):
    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(*args, **kwargs), "ls_model_name": ""}


@mutant("B02", "is traced with its own settings, whatever the call's")
class DeafToCalls(Reference):
    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return super()._get_ls_params(stop=stop)


@mutant("B03", "does not trace its own stop strings")
class UntracedStop(Reference):
    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return params if stop else {name: value for name, value in params.items() if name != "ls_stop"}


@mutant("B10", "takes out what langchain-core adds to traces")
class NoIntegration(Reference):
    def _get_ls_params_with_defaults(self, *args: Any, **kwargs: Any) -> Any:
        return self._get_ls_params(*args, **kwargs)


@mutant("B04", "has one cache key for all temperatures")
class OneKey(Reference):
    # Not by `_identifying_params`: what an author leaves out there, langplug's keys hold all the same.
    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        alike = self.model_copy(update={"temperature": 0.5})
        return super(OneKey, alike).cache_key(*args, **{k: v for k, v in kwargs.items() if k != "temperature"})


@mutant("B05", "has its address in its cache key")
class AddressInKey(Reference):
    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        return f"{super().cache_key(*args, **kwargs)} at {id(self):#x}"


@mutant("B05", "has another cache key each time it is made")
class NumberedKey(Reference):
    _number: int = PrivateAttr(default_factory=iter(range(10**6)).__next__)

    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        return f"{super().cache_key(*args, **kwargs)} {self._number}"


class Memo(Reference):
    """Keeps its first cache key."""

    _key: str | None = PrivateAttr(default=None)

    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        self._key = self._key or super().cache_key(*args, **kwargs)
        return self._key


@mutant("B06", "keeps its first cache key for good")
class FrozenKey(Memo):
    pass


@mutant("B06", "gives its cache key to its copies")
class InheritedKey(Memo):
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name != "_key":
            self._key = None


@mutant("B07", "does not say which versions it is of")
class NoVersions(Reference):
    @model_validator(mode="after")
    def _forget_versions(self) -> Self:
        self.__dict__["metadata"] = {}
        return self


@mutant("B08", "says it can be serialised, and cannot be loaded")
class DishonestDump(Reference):
    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        return ["tests", "nowhere"]


@mutant("B08", "calls itself another class in its dump")
class MisnamedDump(Reference):
    def to_json(self) -> Any:
        return {**super().to_json(), "id": ["somebody", "Else"]}


@mutant("B09", "shows its key in its dump")
class KeyInDump(Reference):
    def to_json(self) -> Any:
        return {**super().to_json(), "repr": f"KeyInDump({self.api_key.get_secret_value()})"}


@mutant("B11", "maps none of its secrets")
class UnmappedSecrets(Reference):
    @property
    def lc_secrets(self) -> dict[str, str]:
        return {}


@mutant("B11", "puts itself into a namespace of langchain's")
class OtherNamespace(Reference):
    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        return ["langchain", "chat_models", "acme"]


@mutant("B12", "has a type for each of its models")
class ChangingType(Reference):
    @property
    def _llm_type(self) -> str:
        return f"chat-{self.model_name}"


@mutant("B12", "has no type")
class NoType(Reference):
    @property
    def _llm_type(self) -> str:
        return ""


@mutant("B12", "goes by another's type")
class ForeignType(Reference):
    @property
    def _llm_type(self) -> str:
        return "openai-chat"


@mutant("G04", "has one cache key for all calls")
class DeafKey(Reference):
    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        return super().cache_key()


@mutant("G04", "has its tools' addresses in its cache key")
class ToolAddresses(Reference):
    def cache_key(self, stop: Any = None, **kwargs: Any) -> str:
        return f"{super().cache_key(stop, **kwargs)} {[hex(id(tool)) for tool in kwargs.get('tools', ())]}"


@mutant("N03", "has a profile of its own making")
class OddProfile(Reference):
    def _resolve_model_profile(self) -> Any:
        return {"wizardry": True}
