"""langchain-tests' classes, filled in for the model of the job. Imported by the module that pytest runs alone."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langplug import ChatModel
from langplug_check.fields import MARKED_KEY
from langplug_check.process.offline import block_network
from langplug_check.standard.cases import subject_of_job
from langplug_check.standard.report import JOB
from langplug_check.stub_replies import stub_reply

# For as long as this process lives: the cases ask the model more often than anybody was told that it would be asked.
_BLOCKED = block_network()
_BLOCKED.__enter__()
_SUBJECT = subject_of_job(JOB)
_CHOSEN = "replies" in _SUBJECT.driver.offers
# Their fixtures add `max_retries=2` themselves, and would give it twice.
_ARGUMENTS = {name: value for name, value in _SUBJECT.arguments.items() if name != "max_retries"}
_METHODS = "json_mode" if issubclass(_SUBJECT.cls, ChatModel) else str(signature(_SUBJECT.cls.with_structured_output))
_GIVEN_BY_CASES: Mapping[str, frozenset[str]] = {"test_standard_params": frozenset({"max_tokens", "stop"})}
"""The arguments that a case names beside `**self.chat_model_params`: if these held one too, it would be given twice."""
_FIELDS = _SUBJECT.cls.model_fields
_VARIABLES = {name: variable for name, variable in _SUBJECT.real().lc_secrets.items() if name in _FIELDS}
_SECRETS = {*_VARIABLES, *(_FIELDS[name].alias for name in _VARIABLES)}
# Last: from here on, this is what the model says.
_CLASS = type(_SUBJECT.says(stub_reply)) if _CHOSEN else _SUBJECT.cls


class Declared:
    """What langchain-tests ask about the model."""

    _given_by_case: frozenset[str] = frozenset()

    @pytest.fixture(autouse=True)
    def _fit(self, request: pytest.FixtureRequest) -> None:
        """Fit the case to the model, where what langchain-tests let a class declare is not enough."""
        case = request.function.__name__
        self._given_by_case = _GIVEN_BY_CASES.get(case, frozenset())
        # It builds with each method there is. That a model refuses one at once is right, and the only honest way.
        if case == "test_with_structured_output" and self.has_structured_output and not self.has_tool_calling:
            pytest.skip("It asks for objects by a call of a tool, too, and the model calls no tools.")

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """What the model is made with, in this case."""
        names = {name: _SUBJECT.names_of(name) for name in _ARGUMENTS}
        return {name: value for name, value in _ARGUMENTS.items() if not names[name] & self._given_by_case}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """What langchain-tests add, but for what is given already, by its other name."""
        given = {name for argument in self.chat_model_params for name in _SUBJECT.names_of(argument)}
        standard: dict[str, Any] = super().standard_chat_model_params  # type: ignore[misc]
        return {name: value for name, value in standard.items() if name not in given}

    chat_model_class: Any = _CLASS
    has_tool_calling: Any = _CHOSEN and _SUBJECT.lacks("tools") is None
    has_structured_output: Any = _CHOSEN and _SUBJECT.lacks("structured") is None
    supports_json_mode: Any = has_structured_output and "json_mode" in _METHODS
    returns_usage_metadata: Any = _CHOSEN
    supports_model_override: Any = _CHOSEN and any(map(_SUBJECT.takes, ("model", "model_name", "model_id")))
    model_override_value: Any = "another-model" if supports_model_override else None
    enable_vcr_tests = False
    init_from_env_params: Any = (
        dict.fromkeys(_VARIABLES.values(), MARKED_KEY),
        {name: value for name, value in _ARGUMENTS.items() if name not in _SECRETS},
        dict.fromkeys(_VARIABLES, MARKED_KEY),
    )


def _make_class(name: str, tests: type) -> type:
    doc = f"The model in {tests.__name__}."
    return type(name, (Declared, tests), {"__module__": __name__, "__doc__": doc})


TestUnit = _make_class("TestUnit", ChatModelUnitTests)
TestIntegration = _make_class("TestIntegration", ChatModelIntegrationTests)

__all__ = ["TestIntegration", "TestUnit"]
