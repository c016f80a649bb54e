"""Mutants of group J."""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from langchain_core.exceptions import ModelRefusalError
from langchain_core.runnables import RunnableLambda
from tests.check.bench import Reference, mutant

# --- J01 ---


@mutant("J01", "gives a dict for a class")
class DictForClass(Reference):
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        return super().with_structured_output(schema, **kwargs) | _undressed


def _undressed(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


@mutant("J01", "gives nothing for a JSON schema")
class NothingForDict(Reference):
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, **kwargs)
        return chain | (lambda value: None) if isinstance(schema, dict) else chain


@mutant("J01", "gives something else in a stream")
class OtherInStream(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.content = chunk.text.replace("Bo", "Al")
            yield chunk


# --- J02 ---


@mutant("J02", "calls a tool, whatever the method")
class AlwaysTools(Reference):
    def with_structured_output(self, schema: Any, *, method: Any = None, **kwargs: Any) -> Any:
        if method in ("json_schema", "json_mode"):
            method = "function_calling"
        return super().with_structured_output(schema, method=method, **kwargs)


@mutant("J02", "takes any name for a method")
class AnyMethod(Reference):
    def with_structured_output(self, schema: Any, *, method: Any = None, **kwargs: Any) -> Any:
        method = None if method == "no_such_method" else method
        return super().with_structured_output(schema, method=method, **kwargs)


@mutant("J02", "refuses a method only when it is asked")
class LateRefusal(Reference):
    def with_structured_output(self, schema: Any, *, method: Any = None, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, method=method, **kwargs)
        return RunnableLambda(_refused) if method == "json_mode" else chain


def _refused(given: Any) -> Any:
    raise ValueError("json_mode is not supported")


@mutant("J02", "trips over a method that it does not know")
class Trips(Reference):
    def with_structured_output(self, schema: Any, *, method: Any = None, **kwargs: Any) -> Any:
        if method == "no_such_method":
            raise UnboundLocalError("cannot access local variable 'llm'")
        return super().with_structured_output(schema, method=method, **kwargs)


@mutant("J02", "swaps a method, and warns of it", verdict="advisory")
class SwapsAloud(Reference):
    def with_structured_output(self, schema: Any, *, method: Any = None, **kwargs: Any) -> Any:
        if method == "json_mode":
            warnings.warn("Unrecognized method 'json_mode'. Defaulting to 'json_schema'.", stacklevel=2)
            method = "json_schema"
        return super().with_structured_output(schema, method=method, **kwargs)


# --- J03, J04 ---


@mutant("J03", "raises in spite of include_raw")
class RaisesAnyway(Reference):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain | _raising if include_raw else chain


def _raising(given: Any) -> Any:
    if given["parsing_error"]:
        raise given["parsing_error"]
    return given


@mutant("J03", "says nothing of an error")
class HidesErrors(Reference):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain | (lambda given: {**given, "parsing_error": None}) if include_raw else chain


@mutant("J03", "leaves the message out")
class NoRaw(Reference):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain | (lambda given: {**given, "raw": given["raw"].text}) if include_raw else chain


@mutant("J04", "gives None where there is no object")
class NoneForNothing(Reference):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain if include_raw else chain.with_fallbacks([RunnableLambda(lambda _: None)])


@mutant("J04", "gives None where a call is broken")
class NoneForBroken(Reference):
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, **kwargs)
        if kwargs.get("method") != "function_calling":
            return chain
        return chain.with_fallbacks([RunnableLambda(lambda _: None)])


# --- J05 ---


@mutant("J05", "takes no strict=False")
class AlwaysStrict(Reference):
    def with_structured_output(self, schema: Any, *, strict: Any = None, **kwargs: Any) -> Any:
        if strict is False:
            raise ValueError("strict must be True")
        return super().with_structured_output(schema, **kwargs)


@mutant("J05", "drops a keyword that it does not know")
class DropsUnknown(Reference):
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        kwargs.pop("langplug_nonsense", None)
        return super().with_structured_output(schema, **kwargs)


@mutant("J05", "does not tell handlers of the schema")
class Untraced(Reference):
    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        kwargs.pop("ls_structured_output_format", None)
        return super().invoke(input, config, **kwargs)


# --- J06 ---


@mutant("J06", "is asked twice for one object")
class AsksTwice(Reference):
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, **kwargs)
        return RunnableLambda(lambda given: [chain.invoke(given), chain.invoke(given)][1])


@mutant("J06", "loses its text in version 3 of the events")
class LostInVersion3(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(messages, stop, run_manager, **kwargs):
            if run_manager is not None:
                chunk.message.content = chunk.text.replace("Bo", "Al")
            yield chunk


# --- J07 ---


@mutant("J07", "takes a refusal for an answer that does not parse")
class ParsesRefusals(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._generate(*args, **kwargs)
        for generation in result.generations:
            if any(block["type"] == "refusal" for block in generation.message.content_blocks):
                generation.message.content = ""
        return result


@mutant("J07", "asks again as the model declines")
class AsksAgain(Reference):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain if include_raw else chain.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)


@mutant("J07", "gives None as the model declines in a stream")
class NoneForRefusal(Reference):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain if include_raw else _Yielding(chain)


class _Yielding(RunnableLambda[Any, Any]):
    """A chain whose stream ends where it would raise a refusal."""

    def __init__(self, chain: Any) -> None:
        super().__init__(chain.invoke)
        self.chain = chain

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with suppress(ModelRefusalError):
            yield from self.chain.stream(*args, **kwargs)


@mutant("J07", "raises a refusal in spite of include_raw")
class RaisesRefusals(Reference):
    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain | _raising if include_raw else chain
