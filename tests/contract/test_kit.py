"""The contract, statement by statement, on langplug's own models: with the kit by which users check theirs.

The other files here hold what the kit cannot see from outside: what langplug promises beyond the contract, such as the
notes of what it did in a model's place, its sentences, its formats, and what an error holds of the answer so far.
"""

from collections.abc import Iterator

import pytest
from tests import echo_models

from langplug.models import ChatScripted, CustomChatModelAdvanced
from langplug_check import ContractTests


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    """The key of every echo model, for the processes in which they are checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECHO_API_KEY", "sk-of-echo")
        yield


# --- each shape by one of the two doors, and each way of calling tools ---


class NativeFunction(echo_models.ChatEchoFunction):
    tool_calling = "native"
    structured_output = "native"


class NativeAsyncGenerator(echo_models.ChatEchoAsyncGenerator):
    tool_calling = "native"


@pytest.mark.some(4, "TestAsyncGenerator and TestEcho have each statement")
class TestFunction(ContractTests):
    factory = NativeFunction


@pytest.mark.some(4, "TestAsyncGenerator and TestEcho have each statement")
class TestGenerator(ContractTests):
    factory = staticmethod(echo_models.echo_generator)


@pytest.mark.some(4, "TestAsyncGenerator and TestEcho have each statement")
class TestCoroutine(ContractTests):
    factory = staticmethod(echo_models.echo_coroutine)


class TestAsyncGenerator(ContractTests):
    factory = NativeAsyncGenerator


class TestEcho(ContractTests):
    factory = CustomChatModelAdvanced(n=1000)


@pytest.mark.some(4, "TestAsyncGenerator and TestEcho have each statement")
class TestScripted(ContractTests):
    factory = ChatScripted(replies=["Hello."], when_exhausted="repeat")


# --- the other door ---


@pytest.mark.thorough("a decorated function is a class")
class TestDecoratedFunction(ContractTests):
    factory = staticmethod(echo_models.echo_function)


@pytest.mark.thorough("a decorated function is a class")
class TestGeneratorClass(ContractTests):
    factory = echo_models.ChatEchoGenerator


@pytest.mark.thorough("a decorated function is a class")
class TestCoroutineClass(ContractTests):
    factory = echo_models.ChatEchoCoroutine


@pytest.mark.thorough("a decorated function is a class")
class TestDecoratedAsyncGenerator(ContractTests):
    factory = staticmethod(echo_models.echo_async_generator)
