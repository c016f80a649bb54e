"""The page on ChatEndpoint, beside the code that it is about."""

from pathlib import Path

from langplug import ChatModel
from langplug.models import ChatEndpoint

PAGE = (Path(__file__).parents[3] / "docs" / "en" / "guides" / "endpoint.md").read_text(encoding="utf-8")


def test_every_field_is_on_the_page() -> None:
    """Each field that ChatEndpoint has for itself is explained."""
    own = ChatEndpoint.model_fields.keys() - ChatModel.model_fields.keys()
    assert [] == [name for name in own if f"`{name}`" not in PAGE]
