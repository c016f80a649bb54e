"""Mutants of values in structured output, and of what is built on top of a model."""

import enum
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel
from tests.check.bench import Reference, mutant
from tests.check.mutants.more import Changes


@mutant("J11", "wants a value for everything")
class WantsValues(Changes):
    def change(self, value: Any) -> Any:
        if None in (value.model_dump() if isinstance(value, BaseModel) else value).values():
            raise ValueError("must be of type number, not NoneType")
        return value


@mutant("J12", "knows no aliases")
class NoAliases(Changes):
    def change(self, value: Any) -> Any:
        aliased = {name for name, field in type(value).model_fields.items() if field.alias}
        return type(value).model_construct(**dict.fromkeys(aliased, ""))


@mutant("J13", "wants everything that its class has")
class WantsAll(Changes):
    def change(self, value: Any) -> Any:
        if missing := set(type(value).model_fields) - value.model_fields_set:
            raise ValueError(f"{missing} are missing")
        return value


@mutant("J14", "takes an Enum for a schema")
class TakesEnums(Reference):
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        if isinstance(schema, type) and issubclass(schema, enum.Enum):
            return RunnableLambda(lambda _: {"value": "red"})
        return super().with_structured_output(schema, **kwargs)


@mutant("K06", "hands tools to the model as it was made")
class ForgetsConfig(Reference):
    def configurable_fields(self, **kwargs: Any) -> Any:
        return BaseChatModel.configurable_fields(self, **kwargs)


@mutant("K07", "forgets its tools where a call has stop strings")
class StopsOrTools(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        told = {name: value for name, value in kwargs.items() if name != "tools" or not stop}
        return super()._generate(messages, stop, run_manager, **told)
