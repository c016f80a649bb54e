"""What a model can do by itself, said in its class or in its constructor.

    class ChatAcme(ChatModel):
        tool_calling = "native"            # for all models of the class

    ChatEndpoint(..., tool_calling="prompted")  # for this one

Each capability is a pydantic field, so that constructors, per-call parameters, copies and cache keys treat it as any
other setting. pydantic refuses a plain assignment in a class body that overrides a field; `ChatModelMeta` reads one as
the field's default.
"""

from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models import BaseChatModel
from pydantic import TypeAdapter, ValidationError

from langplug._tools import ToolFormat, format_named

ToolCalling = Literal["native", "prompted", "off"]
StructuredOutput = Literal["native", "derived"]

CAPABILITIES: dict[str, Any] = {
    "tool_calling": ToolCalling,
    "structured_output": StructuredOutput,
    "accepts": frozenset[str],
    "tool_format": str | ToolFormat | None,
}
"""The capabilities and their types."""

_EXPECTED = {
    "tool_calling": "'native', 'prompted' or 'off'",
    "structured_output": "'native' or 'derived'",
    "accepts": "a frozenset of kinds of content, such as frozenset({'image'})",
    "tool_format": "a format's name, a ToolFormat or None",
}


if TYPE_CHECKING:
    # Type checkers have no need of it: to them a plain assignment that overrides a field is right as it is.
    from pydantic._internal._model_construction import ModelMetaclass

    ChatModelMeta = ModelMetaclass
else:

    class ChatModelMeta(type(BaseChatModel)):
        """pydantic's metaclass, for which `tool_calling = "native"` in a class body sets the default of the field."""

        def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> type:
            """Make the class.

            Raises:
                TypeError: If a capability is set to something that it can't be; what it can be is listed.
            """
            annotations = namespace.get("__annotations__", {})
            for capability in CAPABILITIES.keys() & namespace.keys():
                # Also over an annotation of the author's: `tool_calling: ClassVar = ...` would make it no field at all.
                annotations[capability] = CAPABILITIES[capability]
                where = f"{namespace.get('__qualname__', name)}.{capability}"
                namespace[capability] = read_capability(capability, namespace[capability], where)
            if annotations:
                namespace["__annotations__"] = annotations
            return super().__new__(mcs, name, bases, namespace, **kwargs)


def read_capability(capability: str, value: Any, where: str) -> Any:
    """What `value` says of a capability; `accepts = {"image"}` becomes a frozenset.

    Raises:
        TypeError: If it can't be said of this one.
        ValueError: If no tool format has that name.
    """
    if isinstance(value, property):
        raise TypeError(
            f"{where} is a property, but it is a setting that the constructor may be given too. Set it in a "
            '`@model_validator(mode="after")` instead.'
        )
    try:
        said = TypeAdapter(CAPABILITIES[capability]).validate_python(value)
    except ValidationError:
        raise TypeError(f"{where} is {value!r}. It must be {_EXPECTED[capability]}.") from None
    if capability == "tool_format" and isinstance(said, str):
        format_named(said)
    return said
