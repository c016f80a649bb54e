"""Mutants of group A."""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any, Self

from pydantic import PrivateAttr, model_validator
from tests.check.bench import KEY_VARIABLE, Reference, mutant
from tests.check.mutants.loud_import import Loud

mutant("A11", "starts a thread when its module is imported")(Loud)


@mutant("A01", "drops keywords that it does not know")
class DropsUnknown(Reference):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{name: value for name, value in kwargs.items() if "nonsense" not in name})


@mutant("A02", "forgets max_retries")
class ForgetsRetries(Reference):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("max_retries", None)
        super().__init__(**kwargs)


@mutant("A02", "refuses a base_url")
class RefusesUrl(Reference):
    def __init__(self, **kwargs: Any) -> None:
        if "base_url" in kwargs:
            raise ValueError("no base_url here")
        super().__init__(**kwargs)


@mutant("A03", "connects to its server as it is made")
class EagerClient(Reference):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with suppress(OSError), socket.socket() as client:
            client.connect(("127.0.0.1", 9))


@mutant("A04", "belongs to the event loop that it was made in")
class BoundToALoop(Reference):
    _lock: Any = PrivateAttr(default=None)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with suppress(RuntimeError):
            self._lock = asyncio.get_running_loop().create_future()

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        if self._lock is not None and self._lock.get_loop() is not asyncio.get_running_loop():
            raise RuntimeError("attached to a different loop")
        return await super()._agenerate(*args, **kwargs)


@mutant("A05", "cannot be copied")
class Uncopyable(Reference):
    def __deepcopy__(self, memo: Any = None) -> Self:
        raise TypeError("cannot pickle '_thread.RLock' object")


@mutant("A05", "has copies that say something else")
class ForgetfulCopy(Reference):
    def __deepcopy__(self, memo: Any = None) -> Self:
        return self.model_copy(update={"stop": ["world"]})


@mutant("A06", "cannot be pickled")
class Unpicklable(Reference):
    def __getstate__(self) -> Any:
        raise TypeError("cannot pickle a client")


@mutant("A06b", "cannot be copied once it was used")
class StickyClient(Reference):
    _client: Any = PrivateAttr(default=None)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        self._client = threading.Lock()
        return super()._generate(*args, **kwargs)


@mutant("A07", "shows its key in its repr")
class ShowsKey(Reference):
    def __repr__(self) -> str:
        return f"ShowsKey({self.api_key.get_secret_value()})"


@mutant("A07", "has its key in its identifying parameters")
class KeyInParams(Reference):
    @property
    def _identifying_params(self) -> dict[str, Any]:
        # Under a name that says nothing: under a secret's, langplug hides it.
        return {**super()._identifying_params, "door": self.api_key.get_secret_value()}


@mutant("A12", "does not look at its environment variable")
class BlindToEnvironment(Reference):
    @model_validator(mode="before")
    @classmethod
    def _own_key(cls, given: Any) -> Any:
        return {"api_key": "sk-built-in", **given}


@mutant("A12", "does not say which variable is missing")
class Unhelpful(Reference):
    def __init__(self, **kwargs: Any) -> None:
        try:
            super().__init__(**kwargs)
        except Exception as error:
            if KEY_VARIABLE in str(error):
                raise ValueError("no key") from None
            raise


@mutant("A12", "reads of its tools in the prompt, and does not say which variable is missing")
class UnhelpfulAndPrompted(Unhelpful):
    tool_calling = "prompted"  # type: ignore[assignment] # the reference narrows it


@mutant("A13", "knows its model by one name only")
class OneName(Reference):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("model_name", None)
        super().__init__(**kwargs)


_SHARED: dict[str, int] = {}


@mutant("A08", "has one dict for all instances")
class SharedOptions(Reference):
    @model_validator(mode="after")
    def _share(self) -> Self:
        self.__dict__["options"] = _SHARED
        return self


@mutant("A09", "overrides the deprecated `dict`")
class OverridesDict(Reference):
    def dict(self, **kwargs: Any) -> Any:  # type: ignore[override]
        return {"_type": "old"}


@mutant("A09", "has parameters that are no JSON")
class NoJson(Reference):
    def asdict(self) -> Any:
        return {**super().asdict(), "client": object()}


@mutant("A10", "cannot be drawn")
class NoGraph(Reference):
    def get_graph(self, config: Any = None) -> Any:
        raise NotImplementedError


@mutant("A14", "replaces the validator that sets the profile")
class ReplacesValidator(Reference):
    @model_validator(mode="after")
    def _set_model_profile(self) -> Self:
        return self


@mutant("A14", "does not call the base class's model_post_init")
class NoPostInit(Reference):
    @model_validator(mode="after")
    def _forget(self) -> Self:
        self.__dict__["metadata"] = None
        return self
