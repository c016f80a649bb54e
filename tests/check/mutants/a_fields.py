"""Mutants of what authors' classes are made of."""

from collections.abc import Mapping
from typing import Any

from tests.check.bench import Reference, mutant


@mutant("A15", "reads every field that looks like a mapping, for its traces")
class ReadsMappings(Reference):
    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        told = {name: dict(value) for name, value in self.__dict__.items() if isinstance(value, Mapping)}
        return {**super()._get_ls_params(*args, **kwargs), "ls_fields": len(told)}


@mutant("A16", "tells traces what its fields' objects hold")
class OpensObjects(Reference):
    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        opened = {name: vars(value) for name, value in self.__dict__.items() if hasattr(value, "headers")}
        return {**super()._get_ls_params(*args, **kwargs), "ls_objects": opened}


@mutant("A17", "takes whatever is in its `__dict__` for a parameter")
class OnlyFields(Reference):
    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        if odd := [name for name in self.__dict__ if name not in type(self).model_fields]:
            raise TypeError(f"there is no parameter {odd[0]!r}")
        return super().cache_key(*args, **kwargs)


@mutant("A18", "gives its copies its own settings")
class CopiesItself(Reference):
    def model_copy(self, *, update: Any = None, deep: bool = False) -> Any:
        return super().model_copy(deep=deep)


@mutant("A18", "takes no notice of what is assigned")
class DeafToAssignment(Reference):
    def __setattr__(self, name: str, value: Any) -> None:
        if name != "temperature":
            super().__setattr__(name, value)


@mutant("B14", "has one cache key for all functions of the same code")
@mutant("B15", "has a cache key of its fields and its code")
class KeyOfCode(Reference):
    def _get_llm_string(self, stop: Any = None, **kwargs: Any) -> str:
        respond: Any = type(self).respond
        return f"{respond.__code__.co_code!r} {self.temperature} {stop}"
