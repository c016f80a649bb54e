"""What a model can do by itself, said in its class or in its constructor.

    class ChatAcme(ChatModel):
        tool_calling = "native"            # for all models of the class

    ChatEndpoint(..., tool_calling="prompted")  # for this one

Each capability is a pydantic field, so that constructors, per-call parameters, copies and cache keys treat it as any
other setting. pydantic refuses a plain assignment in a class body that overrides a field; our metaclass reads one as
the field's default.
"""

from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from langplug._model.annotations import annotations_in
from langplug._tools import ToolFormat, format_named

ToolCalling = Literal["native", "templated", "prompted", "off"]
StructuredOutput = Literal["native", "derived"]

CAPABILITIES: dict[str, Any] = {
    "tool_calling": ToolCalling,
    "structured_output": StructuredOutput,
    "accepts": frozenset[str],
    "tool_format": str | ToolFormat | None,
}
"""The capabilities and their types."""

_EXPECTED = {
    "tool_calling": "'native', 'templated', 'prompted' or 'off'",
    "structured_output": "'native' or 'derived'",
    "accepts": "a frozenset of kinds of content, such as frozenset({'image'})",
    "tool_format": "a format's name, a ToolFormat or None",
}


def read_capabilities(body: dict[str, Any], where: str) -> None:
    """Make each capability that a class body sets the default of its field, in place.

    Raises:
        TypeError: If one is set to something that it can't be; what it can be is listed.
    """
    if not (capabilities := CAPABILITIES.keys() & body.keys()):
        return
    annotations = annotations_in(body)
    for capability in capabilities:
        # Also over an annotation of the author's: `tool_calling: ClassVar = ...` would make it no field at all.
        annotations[capability] = CAPABILITIES[capability]
        value = body[capability]
        if isinstance(value, property):
            raise TypeError(
                f"{where}.{capability} is a property, but it is a setting that the constructor may be given too. "
                'Set it in a `@model_validator(mode="after")` instead.'
            )
        try:
            body[capability] = value = TypeAdapter(CAPABILITIES[capability]).validate_python(value)
        except ValidationError:
            raise TypeError(f"{where}.{capability} is {value!r}. It must be {_EXPECTED[capability]}.") from None
        if capability == "tool_format" and isinstance(value, str) and value != "off":
            format_named(value)  # raises if there is none of this name
    body["__annotations__"] = annotations
