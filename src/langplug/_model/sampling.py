"""Sampling parameters under the names that most servers know, with one set of bounds for all models."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Around the `| None`, not inside: so a field's annotation stays `float | None`, which tools that look at fields expect.
Temperature = Annotated[float | None, Field(ge=0)]
Probability = Annotated[float | None, Field(gt=0, le=1)]
Penalty = Annotated[float | None, Field(ge=-2, le=2)]  # OpenAI's bounds; no known server takes more


class SamplingFields(BaseModel):
    """The fields of a model that passes sampling parameters on. What is None is left to the server or the engine."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    temperature: Temperature = None
    """How random the choice of each token is; 0 takes the likeliest."""

    top_p: Probability = None
    """Choose among the likeliest tokens that together have this probability; 1 among all."""

    max_tokens: int | None = Field(default=None, ge=1)
    """The answer ends after this many tokens, with finish reason `"length"`."""

    seed: int | None = None
    """The same seed gives the same answer to the same request, as far as the server keeps to it."""

    frequency_penalty: Penalty = None
    """How much less likely a token becomes each time that it occurs."""

    presence_penalty: Penalty = None
    """How much less likely a token becomes once it has occurred."""
