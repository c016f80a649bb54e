"""What a model says of itself in `profile`, where agents and middleware look for it."""

from typing import Any, Literal, cast, get_args, get_origin

from langchain_core.language_models import ModelProfile

from langplug._model.fields import ModelFields
from langplug._model.parameters import parameters_of


def profile_of(model: ModelFields) -> ModelProfile:
    """What is known of `model`; a key whose value is unknown is left out, which langchain-core takes for "unknown"."""
    fields = parameters_of(type(model)).fields
    calls_tools = model.tool_calling != "off"
    known: dict[str, Any] = {
        "name": model.reported_name,
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": "image" in model.accepts,
        "audio_inputs": "audio" in model.accepts,
        "video_inputs": "video" in model.accepts,
        "attachment": "file" in model.accepts,
        "tool_calling": calls_tools,
        "tool_choice": calls_tools,
        "tool_call_streaming": calls_tools,
        "structured_output": True,
        "temperature": "temperature" in fields,
    }
    # A kind of content that is refused is refused in every form; one that is taken may come as a URL or not.
    if "image" not in model.accepts:
        known |= {"image_url_inputs": False, "image_tool_message": False}
    if "file" not in model.accepts:
        known |= {"pdf_inputs": False, "pdf_tool_message": False}
    if model.context_window is not None:
        known["max_input_tokens"] = model.context_window
    limit = model.__dict__.get(fields.get("max_tokens", ""))
    if isinstance(limit, int) and not isinstance(limit, bool):
        known["max_output_tokens"] = limit
    if model.reasoning_opened:
        known["reasoning_output"] = True
    if effort := fields.get("reasoning_effort"):
        field = type(model).model_fields[effort]
        # Levels that the author declares are what the model knows; a plain `str` takes those of any model.
        if levels := [level for level in _choices(field.annotation) if isinstance(level, str)]:
            known |= {"reasoning_output": True, "reasoning_effort_levels": levels}
            if isinstance(field.default, str):
                known["reasoning_effort_default"] = field.default
    # A key that the installed langchain-core does not know would be warned of at each construction.
    return cast("ModelProfile", {key: value for key, value in known.items() if key in ModelProfile.__annotations__})


def _choices(annotation: Any) -> list[Any]:
    """The values of the `Literal`s in an annotation, such as `Literal["low", "high"] | None`."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for inner in get_args(annotation) for choice in _choices(inner)]
