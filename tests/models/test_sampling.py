"""Sampling parameters: the same names and bounds for every model that passes them on."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from langplug import ChatModel
from langplug.models import ChatEndpoint, ChatGGUF, ChatHTTP, ChatTransformers

MODELS: dict[str, Callable[..., ChatModel]] = {
    "ChatEndpoint": lambda **given: ChatEndpoint(model="m", base_url="http://localhost/v1", **given),
    "ChatHTTP": lambda **given: ChatHTTP(url="http://localhost/say", text="t", **given),
    "ChatGGUF": ChatGGUF,
    "ChatTransformers": lambda **given: ChatTransformers(model="./folder", **given),
}

BOUNDS: list[tuple[str, list[Any], list[Any]]] = [
    ("temperature", [0, 0.7, 2, None], [-0.1]),
    ("top_p", [0.01, 1, None], [0, 1.01]),
    ("max_tokens", [1, 100_000, None], [0, -1]),
    ("frequency_penalty", [-2, 0, 2, None], [-2.1, 2.1]),
    ("presence_penalty", [-2, 0, 2, None], [-2.1, 2.1]),
]


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")  # of ChatHTTP, whose body has no place
@pytest.mark.parametrize(("name", "good", "bad"), BOUNDS, ids=[name for name, _, _ in BOUNDS])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_bounds_are_the_same_everywhere(
    make: Callable[..., ChatModel], name: str, good: list[Any], bad: list[Any]
) -> None:
    """What one model takes, all take; None leaves a parameter to the server or the engine."""
    for value in good:
        assert value == getattr(make(**{name: value}), name)
    for value in bad:
        with pytest.raises(ValidationError, match=name):
            make(**{name: value})
