"""`with_structured_output`: answers that fit a schema, as objects, or an error. Never None."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Literal, cast, get_args

from langchain_core.exceptions import ModelRefusalError, OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.content import RefusalContentBlock
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langplug._answer.chunks import is_restart
from langplug._model.fields import ModelFields
from langplug._model.keywords import FOR_A_PARSER
from langplug._tools.class_schema import class_schema
from langplug._tools.partial_json import PartialObject
from langplug._tools.schema import json_schema_of, parse_json, reader_of
from langplug._tools.toolbox import name_of, refuse_tools, tool_dicts

_MOST_CHUNKS = 512
"""Chunks that are kept one by one before they become one: each takes more than a hundred times its text."""

Method = Literal["json_schema", "function_calling", "json_mode"]


def structured_output(
    model: ModelFields, schema: Any, method: Method | None, include_raw: bool, strict: bool | None
) -> Runnable[Any, Any]:
    """A runnable that answers with objects of `schema`.

    Raises:
        ValueError: If the schema is not a schema, or the method is unknown.
        UnsupportedError: If the method needs tools, and the model has turned them off.
    """
    if method is not None and method not in get_args(Method):
        raise ValueError(f"method={method!r} is unknown. Choose from {', '.join(get_args(Method))}, or None.")
    if method is None:
        # The surest first: a schema that the model keeps by itself, then its own tools, then a schema in the prompt.
        native_tools_alone = model.structured_output != "native" and model.tool_calling == "native"
        method = "function_calling" if native_tools_alone else "json_schema"
    reader = StructuredOutputReader(schema, method)
    shows_parts = not include_raw and not gives_instance(schema)
    answering = _bind_schema(model, schema, method, strict, "live" if shows_parts else "held")
    if not include_raw:
        return answering | reader
    # No `RunnableMap` around the model: it would not hand on what is bound to the chain later.
    return answering | RunnableLambda(reader.with_raw, reader.awith_raw, name="parse")


def _bind_schema(
    model: ModelFields, schema: Any, method: Method, strict: bool | None, showing: Literal["held", "live"]
) -> Runnable[Any, AIMessage]:
    # What LangSmith shows of the schema; langchain-core takes it out of the call again.
    traced: dict[str, Any] = {
        "ls_structured_output_format": {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    }
    if method == "function_calling":
        if model.tool_calling == "off":
            raise refuse_tools(type(model).__name__)
        function = schema
        if isinstance(schema, Mapping):
            # langchain-core would drop all of a schema without properties, such as an `anyOf`.
            described = json_schema_of(schema)
            head = {"name": described.pop("title"), "description": described.pop("description", "")}
            function = {**head, "parameters": described}
        (tool,) = tool_dicts([function], strict)
        parameters = tool["function"].get("parameters") or {}
        if parameters.get("type", "object") != "object":
            raise ValueError(f"{schema!r} cannot be the arguments of a call, which are an object. Use `json_schema`.")
        traced |= {"parallel_tool_calls": False, FOR_A_PARSER: "held"}
        return model.bind_tools([tool], tool_choice=name_of(tool), **traced)
    if method == "json_mode":
        return model.bind(response_format={"type": "json_object"}, **traced, **{FOR_A_PARSER: showing})
    json_schema_of(schema)  # a wrong one is refused now, not at the first call
    strictly = {} if strict is None else {"strict": strict}
    return model.bind(response_format=schema, **strictly, **traced, **{FOR_A_PARSER: showing})


class StructuredOutputReader(Runnable[AIMessage, Any]):
    """Reads a model's answer as an object of a schema."""

    def __init__(self, schema: Any, method: Method) -> None:
        self._method = method
        self._read = reader_of(schema)
        self._gives_dicts = not gives_instance(schema)

    def invoke(self, input: AIMessage, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The object that `input` holds.

        Raises:
            ModelRefusalError: If it holds a refusal.
            OutputParserException: If it does not hold one that fits the schema.
        """
        for block in input.content if isinstance(input.content, list) else ():
            if isinstance(block, dict) and block.get("type") == "refusal":
                raise ModelRefusalError.from_refusal(cast("RefusalContentBlock", block), raw_message=input)
        if self._method == "function_calling":
            if not input.tool_calls:
                raise self._unfit(input, "holds no valid call of the tool that stands for the schema")
            value: Any = input.tool_calls[0]["args"]
        else:
            try:
                value = parse_json(str(input.text))
            except ValueError as error:
                raise self._unfit(input, f"is not JSON: {error}") from error
        try:
            return self._read(value)
        except ValueError as error:
            raise self._unfit(input, f"does not fit the schema: {error}") from error

    async def ainvoke(self, input: AIMessage, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """As `invoke`; there is nothing to wait for."""
        return self.invoke(input, config, **kwargs)

    def transform(
        self, input: Iterator[AIMessage], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Dicts as they grow, and at last the object, checked."""
        growing = _Growing()  # one for each stream: this reader is shared by all calls of the chain
        for chunk in input:
            yield from self._grown(growing, chunk)
        yield from self._last(growing)

    async def atransform(
        self, input: AsyncIterator[AIMessage], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """As `transform`, for an event loop."""
        growing = _Growing()
        async for chunk in input:
            for value in self._grown(growing, chunk):
                yield value
        for value in self._last(growing):
            yield value

    def with_raw(self, answer: AIMessage) -> dict[str, Any]:
        """The message, and what it holds or why it holds nothing."""
        try:
            return {"raw": answer, "parsed": self.invoke(answer), "parsing_error": None}
        except (OutputParserException, ModelRefusalError) as error:
            return {"raw": answer, "parsed": None, "parsing_error": error}

    async def awith_raw(self, answer: AIMessage) -> dict[str, Any]:
        """As `with_raw`; there is nothing to wait for."""
        return self.with_raw(answer)

    def _grown(self, growing: "_Growing", chunk: AIMessage) -> Iterator[Any]:
        shows = self._gives_dicts and self._method != "function_calling"
        if (value := growing.add(chunk, shows=shows)) is not None:
            yield value

    def _last(self, growing: "_Growing") -> Iterator[Any]:
        message = growing.message()
        if message is None:
            raise OutputParserException("The model gave no answer to parse.")
        # Checked once more as a whole: what was shown on the way was only as much of it as could be read by then.
        if (value := self.invoke(message)) != growing.shown:
            yield value

    def _unfit(self, message: AIMessage, problem: str) -> OutputParserException | ModelRefusalError:
        reason = message.response_metadata.get("finish_reason")
        if reason in ("content_filter", "refusal"):
            said = f"The model ended its answer for its rules on content (finish_reason {reason!r})."
            return ModelRefusalError(said, raw_message=message)
        cut = reason == "length"
        why = " It was cut off at the token limit: allow more tokens." if cut else ""
        # A forced call says what it says in its arguments, and mostly nothing beside them.
        calls = [call["args"] for call in (*message.tool_calls, *message.invalid_tool_calls)]
        written = [args if isinstance(args, str) else json.dumps(args, ensure_ascii=False) for args in calls]
        said = "\n".join(filter(None, [str(message.text), *written]))
        return OutputParserException(f"The model's answer {problem}.{why} It said: {said[:500]!r}", llm_output=said)


class _Growing:
    """An answer as it comes, and how much of it was shown."""

    def __init__(self) -> None:
        self._chunks: list[AIMessage] = []
        self._object = PartialObject()
        self.shown: Any = None

    def add(self, chunk: AIMessage, *, shows: bool) -> dict[str, Any] | None:
        """Take one more chunk; the object as far as it has come, if it is to be shown and has changed."""
        if is_restart(chunk):
            self._chunks, self._object = [], PartialObject()
            return None
        self._chunks.append(chunk)
        if len(self._chunks) == _MOST_CHUNKS:
            self._chunks = [message] if (message := self.message()) else []
        if not shows or not self._object.feed(str(chunk.text)):
            return None
        value = self._object.snapshot()
        if not value and value == self.shown:  # begun anew before there was anything in it
            return None
        self.shown = value
        return value

    def message(self) -> AIMessage | None:
        """The answer so far. Its chunks are added up all at once: one by one, each would copy those before it."""
        if not self._chunks:
            return None
        first, *rest = self._chunks
        if not isinstance(first, AIMessageChunk):
            return first
        return first + [chunk for chunk in rest if isinstance(chunk, AIMessageChunk)]


def gives_instance(schema: Any) -> bool:
    """Whether answers become instances of `schema`; else they are dicts, which can be shown as they grow."""
    known = class_schema(schema)
    return known is not None and known.gives_instance
