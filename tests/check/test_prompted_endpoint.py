"""A model behind a server that knows nothing of tools: the backend reads langplug's prompts and writes the calls."""

from collections.abc import Iterator

import pytest

from langplug.models import ChatEndpoint
from langplug_check import Subject, all_checks
from langplug_check.runner import run_check


class Prompted(ChatEndpoint):
    """Its tools and schemas stand in the prompt."""

    tool_calling = "prompted"
    structured_output = "derived"


@pytest.fixture(scope="module", params=["by class", "by argument", "by a format"])
def prompted(request: pytest.FixtureRequest) -> Iterator[Subject]:
    address = {"model": "m", "base_url": "http://localhost:1/v1"}  # the kit puts its backend's in the place
    target = {
        "by class": Prompted,
        "by argument": ChatEndpoint(**address, tool_calling="prompted"),
        "by a format": ChatEndpoint(**address, tool_calling="prompted", tool_format="llama3"),
    }[request.param]
    with Subject(target) as subject:
        yield subject


@pytest.mark.parametrize("name", ["I01", "I02", "I13", "J02"])
def test_prompted_tools_behind_a_server_pass(prompted: Subject, name: str) -> None:
    """Tools arrive, choices hold, histories are told, and an object comes back."""
    result = run_check(all_checks()[name], prompted)
    assert "pass" == result.verdict, result.observed
