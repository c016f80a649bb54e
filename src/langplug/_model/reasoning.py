"""How a model's reasoning stands in its text: as its settings say, else as models of its family write it."""

from functools import lru_cache

from langplug._answer.reasoning import Opened, ReasoningSplitter, Tags
from langplug._families import THINK, UNKNOWN, Family, family_for
from langplug._model.fields import ModelFields
from langplug._request import Request


@lru_cache(maxsize=64)
def family_of(hints: tuple[str, ...]) -> Family:
    """The family of a model, by its `tool_format_hints`; remembered, as each call asks for it."""
    return family_for(*hints)


def splitter_of(model: ModelFields, request: Request) -> ReasoningSplitter | None:
    """What tells reasoning from text in the answer to `request`; None if all is text."""
    family, tags = UNKNOWN, model.reasoning_tags
    if tags is None:
        return None
    every: tuple[Tags, ...]
    if tags == "auto":
        family = family_of(model.tool_format_hints)
        # Fine-tunes of any family reason between <think> tags, whatever the family did before.
        every = tuple(dict.fromkeys((family.reasoning or THINK, *family.more_reasoning, THINK)))
    else:
        every = (tags,)
    may_be_opened = family.opened and model.tool_calling != "native"

    def begins_inside() -> Opened:
        """Asked when the answer begins, and not before: only by then the author has rendered the prompt."""
        if end := request.run.prompt_end:
            return any(end.endswith(opener) for opener, _ in every)
        thinks = not family.asked if request.thinking is None else request.thinking
        return "perhaps" if may_be_opened and thinks else False

    opened = begins_inside if model.reasoning_opened is None else model.reasoning_opened
    return ReasoningSplitter(*every[0], others=every[1:], answers=family.answers, opened=opened)
