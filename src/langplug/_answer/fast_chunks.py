"""The ordinary chunk and message, built without pydantic's constructor: a quarter of its cost, the same in every field.

A stream makes one message and, for whoever listens, one `ChatGenerationChunk` a token: most of a token's time went
there, and a tenth of a short `invoke` into its message. What is built here is compared with what the constructors make
when this module is imported; with a langchain-core that has one more field, the constructors are used.
"""

from typing import Any, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)

_SAID_BESIDE = ("model_name", "finish_reason")

_new, _set = object.__new__, object.__setattr__


def _build(cls: type[T], fields: dict[str, Any], fields_set: set[str], extra: dict[str, Any] | None) -> T:
    # pydantic's own short cut, `model_construct`, takes fifty times as long as the constructor for messages.
    built = _new(cls)
    _set(built, "__dict__", fields)
    _set(built, "__pydantic_fields_set__", fields_set)
    _set(built, "__pydantic_extra__", extra)
    _set(built, "__pydantic_private__", None)
    return built


def _build_chunk(text: str, message_id: str | None) -> AIMessageChunk:
    fields: dict[str, Any] = {
        "content": text,
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "AIMessageChunk",
        "name": None,
        "id": message_id,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
        "tool_call_chunks": [],
        "chunk_position": None,
    }
    return _build(AIMessageChunk, fields, {"content", "response_metadata", "id"}, {})


def _build_message(text: str, usage: UsageMetadata | None, response_metadata: dict[str, Any]) -> AIMessage:
    fields: dict[str, Any] = {
        "content": text,
        "additional_kwargs": {},
        "response_metadata": response_metadata,
        "type": "ai",
        "name": None,
        "id": None,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": usage,
    }
    return _build(AIMessage, fields, fields.keys() - {"type", "name"}, {})


def _message(text: str, usage: UsageMetadata | None, response_metadata: dict[str, Any]) -> AIMessage:
    return AIMessage(
        content=text,
        tool_calls=[],
        invalid_tool_calls=[],
        usage_metadata=usage,
        response_metadata=response_metadata,
        additional_kwargs={},
        id=None,
    )


def _build_generation(message: AIMessageChunk) -> ChatGenerationChunk:
    fields = {"text": message.text, "generation_info": None, "type": "ChatGenerationChunk", "message": message}
    return _build(ChatGenerationChunk, fields, {"message", "text"}, None)


def _build_whole(message: AIMessage, info: dict[str, Any] | None) -> ChatGeneration:
    fields = {"text": message.text, "generation_info": info, "type": "ChatGeneration", "message": message}
    return _build(ChatGeneration, fields, {"message", "generation_info", "text"}, None)


def _are_alike(one: BaseModel, other: BaseModel) -> bool:
    """Whether two objects of pydantic are the same to the last field, the order of their fields included."""
    of_one, of_other = (
        [list(vars(it).items()), it.model_fields_set, it.model_extra, it.__pydantic_private__] for it in (one, other)
    )
    return of_one == of_other


_EXAMPLE = AIMessageChunk(content="a", response_metadata={}, id="b")

_CHUNKS_ARE_AS_KNOWN = _are_alike(_EXAMPLE, _build_chunk("a", "b"))

_USAGE = UsageMetadata(input_tokens=1, output_tokens=2, total_tokens=3)

_MESSAGES_ARE_AS_KNOWN = _are_alike(_message("a", _USAGE, {"b": 1}), _build_message("a", _USAGE, {"b": 1}))

_GENERATIONS_ARE_AS_KNOWN = _are_alike(ChatGenerationChunk(message=_EXAMPLE), _build_generation(_EXAMPLE))

_WHOLES_ARE_AS_KNOWN = _are_alike(
    ChatGeneration(message=_EXAMPLE, generation_info={"b": 1}), _build_whole(_EXAMPLE, {"b": 1})
)


def plain_chunk(text: str, message_id: str | None = None) -> AIMessageChunk:
    """`AIMessageChunk(content=text, response_metadata={}, id=message_id)`, to the last field."""
    if _CHUNKS_ARE_AS_KNOWN and type(text) is str:  # pydantic makes a `str` of one of a subclass
        return _build_chunk(text, message_id)
    return AIMessageChunk(content=text, response_metadata={}, id=message_id)


def generation_info(message: AIMessage) -> dict[str, Any] | None:
    """What tracing tools read beside a message: the model's name, and why it ended."""
    known = {name: message.response_metadata[name] for name in _SAID_BESIDE if name in message.response_metadata}
    return known or None


def plain_message(text: str, usage: UsageMetadata | None, response_metadata: dict[str, Any]) -> AIMessage:
    """The message of `text` alone that `MessageBuilder` makes, to the last field."""
    # pydantic turns other numbers into `int`s, such as numpy's of a `token_counter`, and looks through the details.
    is_plain = usage is None or (len(usage) == len(_USAGE) and all(type(number) is int for number in usage.values()))
    if _MESSAGES_ARE_AS_KNOWN and is_plain and type(text) is str:
        return _build_message(text, None if usage is None else usage.copy(), response_metadata.copy())
    return _message(text, usage, response_metadata)


def generation_chunk(message: AIMessageChunk) -> ChatGenerationChunk:
    """`ChatGenerationChunk(message=message)`, to the last field; the last of an answer says how it ended."""
    if message.chunk_position is not None:
        return ChatGenerationChunk(message=message, generation_info=generation_info(message))
    if _GENERATIONS_ARE_AS_KNOWN and type(message.content) is str:  # around blocks, core has its own idea of the text
        return _build_generation(message)
    return ChatGenerationChunk(message=message)


def whole_generation(message: AIMessage) -> ChatGeneration:
    """`message` as a whole answer, with what official integrations say of it in `generation_info`."""
    info = generation_info(message)
    if _WHOLES_ARE_AS_KNOWN and type(message.content) is str:
        return _build_whole(message, info)
    return ChatGeneration(message=message, generation_info=info)
