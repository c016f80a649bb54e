"""What a model will do, in plain words."""

import json
from typing import Any

import pytest
from pydantic import SecretStr
from tests.check import subjects
from tests.check.bench import KEY_VARIABLE
from tests.echo_models import ECHO_MODELS

from langplug import ChatModel, Request, load
from langplug_check.explain import explain

HERE = "tests.check.subjects"
ECHO = f"{HERE}:Echo"
FOREIGN = f"{HERE}:Foreign"
REFERENCE = "tests.check.bench:Reference"
ENDPOINT = "langplug.models.endpoint:ChatEndpoint"
PAGE_ECHO = "tests.check.test_explain:page_echo"
QUIET = "tests.check.test_explain:Quiet"


class Quiet(ChatModel):
    """Does little, and says so."""

    tool_calling = "off"

    async def respond(self, request: Request, /) -> str:
        return ""


def page_echo() -> ChatModel:
    from langplug.models import CustomChatModelAdvanced

    return CustomChatModelAdvanced(n=3, seed=2, max_retries=4, adaptations="silent")


class Partial(subjects.Foreign):
    """Has a setting that its key does not know."""

    mood: str = "calm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"said": self.said}


class Named(subjects.Foreign):
    """Goes by a name that langchain knows."""

    model_name: str = "gpt-4o"


def make_streaming() -> Quiet:
    return Quiet(streaming=True)


def make_unstreamed() -> subjects.Echo:
    return subjects.Echo(disable_streaming=True)


@pytest.mark.parametrize(
    ("reference", "topic", "short"),
    [
        (ECHO, "stream", "native"),
        (FOREIGN, "stream", "whole"),
        (REFERENCE, "stream", "native"),
        (QUIET, "stream", "whole"),
        ("tests.check.test_explain:make_unstreamed", "stream", "off"),
        ("tests.check.test_explain:make_unstreamed", "implicit streaming", "never"),
        (FOREIGN, "implicit streaming", "never"),
        (ECHO, "implicit streaming", "as asked"),
        ("tests.check.test_explain:make_streaming", "implicit streaming", "always"),
        (ECHO, "async", "bridged"),
        (REFERENCE, "async", "bridged"),
        (QUIET, "async", "native"),
        (ENDPOINT, "async", "native"),
        (ECHO, "tools", "none"),
        (REFERENCE, "tools", "native"),
        (QUIET, "tools", "off"),
        (f"{HERE}:rule", "tools", "prompted"),
        (FOREIGN, "create_agent", "tool"),
        (REFERENCE, "create_agent", "provider"),
        ("tests.check.test_explain:Named", "create_agent", "provider"),
        (FOREIGN, "structured output", "none"),
        (REFERENCE, "structured output", "json_schema"),
        (ENDPOINT, "content", "text, audio, file, image"),
        (FOREIGN, "content", "unknown"),
        (PAGE_ECHO, "adaptations", "silent"),
        ("tests.check.test_explain:Partial", "cache key", "partial"),
        (REFERENCE, "cache key", "complete"),
        (REFERENCE, "traces", "reference-1"),
    ],
)
def test_each_thing_is_said(reference: str, topic: str, short: str) -> None:
    """What a model does is read off its class and its settings."""
    (point,) = [point for point in explain(reference).points if point.topic == topic]
    assert short == point.short


class Deaf(subjects.Foreign):
    """Names in its key what langchain-core puts the call's own in."""

    stop: list[str] | None = None

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"stop": self.stop}


class Keyed(subjects.Foreign):
    """Is given its key."""

    api_key: SecretStr | None = SecretStr("sk-given")

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"api_key": "LANGPLUG_NOBODY_SETS_THIS"}


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("tests.check.test_explain:Partial", "Not in it: mood; models that differ in these share answers."),
        (PAGE_ECHO, "seed: ignored, the model has no such parameter"),
        (PAGE_ECHO, "An error that may pass is tried again up to 4 times, unless a part of the answer has come."),
        (REFERENCE, "An error is raised at once: max_retries=0."),
        (REFERENCE, f"api_key: read from {KEY_VARIABLE} (set here)"),
        (ECHO, "the class has neither `_agenerate` nor `_astream`"),
        (FOREIGN, "and it has no name that langchain could know. It will fail, because there is no `bind_tools`."),
        ("tests.check.test_explain:Keyed", "given to the constructor, in place of LANGPLUG_NOBODY_SETS_THIS."),
        (
            "tests.check.test_explain:Deaf",
            "The key holds what these are set to: nothing. Not in it: said, stop;",
        ),
    ],
)
def test_it_is_said_why(reference: str, told: str) -> None:
    """The reason stands beside it."""
    assert told in " ".join(explain(reference).to_text().split())


def test_it_agrees_with_create_agent() -> None:
    """The strategy is the one that langchain's own rule gives."""
    from langchain.agents import factory

    for reference in (FOREIGN, PAGE_ECHO, "tests.check.test_explain:Named"):
        (point,) = [one for one in explain(reference).points if one.topic == "create_agent"]
        assert factory._supports_provider_strategy(load(reference)) is (point.short == "provider")


def test_nothing_is_asked() -> None:
    """Neither a model that hangs as it is asked nor one that never answers keeps it from being explained."""
    for name in ("Hangs", "Broken"):
        assert "bridged" in {point.short for point in explain(f"{HERE}:{name}").points}


def test_it_can_be_read_by_programs() -> None:
    """The JSON has a version and the same points."""
    told = json.loads(explain(FOREIGN).to_json())
    assert (1, FOREIGN, "whole") == (told["schema"], told["reference"], told["points"]["stream"]["short"])


def test_no_line_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text fits a screen of a hundred columns."""
    monkeypatch.setenv("ECHO_API_KEY", "sk-echo")
    assert ECHO_MODELS
    for reference in (FOREIGN, REFERENCE, "tests.echo_models:echo_generator", ENDPOINT):
        assert 100 >= max(map(len, explain(reference).to_text().splitlines()))
