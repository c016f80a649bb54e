"""Group K of the contract: what LangChain builds out of models."""

from collections.abc import AsyncIterator

import pytest
from langchain_core.runnables import ConfigurableField
from tests.echo_models import MakeModel

# --- configuration ---


def test_k01_a_misspelt_field_is_an_error(make_model: MakeModel) -> None:
    """A field that there is not cannot be made configurable."""
    with pytest.raises(ValueError, match="sufix"):
        make_model().configurable_fields(sufix=ConfigurableField(id="suffix"))


# --- what goes in and out ---


async def test_a_model_transforms_streams(make_model: MakeModel) -> None:
    """`transform` and `atransform` take the input as a stream."""

    async def given() -> AsyncIterator[str]:
        yield "hel"
        yield "lo"

    model = make_model()
    assert "hello" == "".join(chunk.text for chunk in model.transform(iter(["hel", "lo"])))
    assert "hello" == "".join([chunk.text async for chunk in model.atransform(given())])
