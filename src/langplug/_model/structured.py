"""`with_structured_output`: answers that fit a schema, as objects, or an error. Never None."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Literal, get_args

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.utils.json import parse_partial_json
from pydantic import BaseModel

from langplug._answer.chunks import is_restart
from langplug._model.fields import ModelFields
from langplug._model.langchain import FOR_A_PARSER
from langplug._tools.schema import checker_of, json_schema_of, parse_json
from langplug._tools.toolbox import name_of, refuse_tools, tool_dicts

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
    shows_parts = not include_raw and not _is_class_with_fields(schema)
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
        (tool,) = tool_dicts([json_schema_of(schema) if isinstance(schema, Mapping) else schema], strict)
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
        self._check = checker_of(schema)
        self._build: Callable[[Any], Any] = lambda value: value
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            self._build = schema.model_validate
        elif isinstance(schema, type) and hasattr(schema, "parse_obj"):  # pydantic v1
            self._build = schema.parse_obj
        self._gives_dicts = not _is_class_with_fields(schema)

    def invoke(self, input: AIMessage, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The object that `input` holds.

        Raises:
            OutputParserException: If it does not hold one that fits the schema.
        """
        if self._method == "function_calling":
            if not input.tool_calls:
                raise self._unfit(input, "holds no valid call of the tool that stands for the schema")
            value: Any = input.tool_calls[0]["args"]
        else:
            try:
                value = parse_json(str(input.text))
            except ValueError as error:
                raise self._unfit(input, f"is not JSON: {error}") from error
        if (problem := self._check(value)) is not None:
            raise self._unfit(input, f"does not fit the schema: {problem}")
        return self._build(value)

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
        except OutputParserException as error:
            return {"raw": answer, "parsed": None, "parsing_error": error}

    async def awith_raw(self, answer: AIMessage) -> dict[str, Any]:
        """As `with_raw`; there is nothing to wait for."""
        return self.with_raw(answer)

    def _grown(self, growing: "_Growing", chunk: AIMessage) -> Iterator[Any]:
        growing.add(chunk)
        if self._gives_dicts and self._method != "function_calling" and (value := growing.changed()) is not None:
            yield value

    def _last(self, growing: "_Growing") -> Iterator[Any]:
        if growing.message is None:
            raise OutputParserException("The model gave no answer to parse.")
        # Checked once more as a whole: what was shown on the way was only as much of it as could be read by then.
        if (value := self.invoke(growing.message)) != growing.shown:
            yield value

    def _unfit(self, message: AIMessage, problem: str) -> OutputParserException:
        cut = message.response_metadata.get("finish_reason") == "length"
        why = " It was cut off at the token limit: allow more tokens." if cut else ""
        said = str(message.text)
        return OutputParserException(f"The model's answer {problem}.{why} It said: {said[:500]!r}", llm_output=said)


class _Growing:
    """An answer as it comes, and how much of it was shown."""

    def __init__(self) -> None:
        self.message: AIMessage | None = None
        self.shown: Any = None

    def add(self, chunk: AIMessage) -> None:
        if is_restart(chunk):
            self.message = None
        elif self.message is None:
            self.message = chunk
        elif isinstance(self.message, AIMessageChunk) and isinstance(chunk, AIMessageChunk):
            self.message = self.message + chunk

    def changed(self) -> Any:
        """What can be read by now, if it is more than before."""
        text = str(self.message.text) if self.message is not None else ""
        start = text.find("{")  # models write a fence or a word before it
        try:
            value = parse_partial_json(text[start:]) if start >= 0 else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict) or value == self.shown:
            return None
        self.shown = value
        return value


def _is_class_with_fields(schema: Any) -> bool:
    return isinstance(schema, type) and (issubclass(schema, BaseModel) or hasattr(schema, "parse_obj"))
