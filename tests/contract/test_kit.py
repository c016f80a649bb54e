"""The contract, statement by statement, on langplug's own models: the kit that users check theirs with."""

from collections.abc import Iterator

import pytest
from tests import zoo

from langplug.models import ChatScripted, CustomChatModelAdvanced
from langplug_check import ContractTests


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    """The key of every animal, for the processes in which they are checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_API_KEY", "sk-of-the-zoo")
        yield


class TestFunction(ContractTests):
    factory = zoo.ChatZooFunction

class TestGenerator(ContractTests):
    factory = zoo.ChatZooGenerator

class TestCoroutine(ContractTests):
    factory = zoo.ChatZooCoroutine

class TestAsyncGenerator(ContractTests):
    factory = zoo.ChatZooAsyncGenerator

class TestDFunction(ContractTests):
    factory = staticmethod(zoo.zoo_function)

class TestDAsyncGenerator(ContractTests):
    factory = staticmethod(zoo.zoo_async_generator)

class TestEcho(ContractTests):
    factory = CustomChatModelAdvanced(n=1000)

class TestScripted(ContractTests):
    factory = ChatScripted(replies=["Hello."], when_exhausted="repeat")
