"""What authors put into their models besides plain data: clients, locks, generators, objects that raise when touched.

Each maker plants `KEY` where such an object holds a key. Some need packages that not every environment has.
"""

import collections
import contextvars
import dataclasses
import functools
import io
import itertools
import queue
import socket
import sys
import threading
import types
import unittest.mock
import weakref
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

KEY = "sk-planted-7Qm2"


def _raise(*_: Any, **__: Any) -> Any:
    raise RuntimeError(f"touched: {KEY}")


class Hostile:
    """Raises whatever is asked of it."""

    __getattr__ = __repr__ = __str__ = __format__ = __eq__ = __ne__ = __hash__ = __iter__ = __len__ = _raise
    __bool__ = __contains__ = __getitem__ = __call__ = __int__ = __float__ = __index__ = __dir__ = __sizeof__ = _raise
    __enter__ = __exit__ = __await__ = __aiter__ = __next__ = __reversed__ = __bytes__ = __fspath__ = _raise


class Watchful:
    """Raises when any attribute of it is read, `__class__` and `__dict__` included."""

    def __getattribute__(self, name: str) -> Any:
        return _raise()

    __repr__ = __eq__ = __hash__ = _raise  # type: ignore[assignment]


class Eager(Hostile):
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        return self


class Pretender:
    """Says that it is a dict."""

    key = KEY

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # as proxies do
        return dict

    def items(self) -> Any:
        return _raise()


class LazyMapping(Mapping[str, Any]):
    """A mapping over something far away."""

    __getitem__ = __iter__ = __len__ = _raise  # type: ignore[assignment]


class LazyDict(dict[str, Any]):
    """A dict that asks before it tells."""

    items = keys = values = __iter__ = __getitem__ = __len__ = __repr__ = _raise  # type: ignore[assignment]


class Reprs(list[Any]):
    """A list that tells all."""

    def __repr__(self) -> str:
        return KEY


class Text(str):
    __slots__ = ()
    __str__ = __repr__ = __hash__ = _raise  # type: ignore[assignment]


class Number(int):
    __str__ = __repr__ = __int__ = __index__ = _raise  # type: ignore[assignment]


class Meta(type):
    """A class whose class raises."""

    __repr__ = __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = _raise  # type: ignore[assignment]

    def __getattribute__(cls, name: str) -> Any:
        return type.__getattribute__(cls, name) if name.startswith("__s") else _raise()


class OfMeta(metaclass=Meta):
    pass


class Sdk:
    """What a client looks like inside."""

    def __init__(self) -> None:
        self.token = KEY
        self.headers = {"X-Auth": KEY, "Authorization": f"Bearer {KEY}"}
        self.pool = [self]

    def __repr__(self) -> str:
        return f"Sdk(token={self.token!r})"


@dataclasses.dataclass
class Box:
    inner: Any


@dataclasses.dataclass(slots=True, frozen=True)
class SlottedBox:
    api_key: str
    inner: Any


def deep_dataclasses() -> Any:
    box: Any = Sdk()
    for _ in range(14):
        box = Box(box)
    return box


def cyclic_list() -> Any:
    cyclic: list[Any] = [{"api_key": KEY}]
    cyclic.append(cyclic)
    return cyclic


def cyclic_dict() -> Any:
    cyclic: dict[str, Any] = {"Authorization": KEY}
    cyclic["self"] = [cyclic, (cyclic,)]
    return cyclic


def deep_list() -> Any:
    deep: Any = Sdk()
    for _ in range(20_000):
        deep = [deep]
    return deep


def generator() -> Iterator[str]:
    yield KEY


async def coroutine() -> str:
    return KEY


def started_coroutine() -> Any:
    made = coroutine()
    made.close()
    return made


def module_with_key() -> Any:
    module = types.ModuleType("secret_module")
    module.API_KEY = KEY  # type: ignore[attr-defined]
    return module


def frame() -> Any:
    api_key = KEY  # noqa: F841
    return sys._getframe()


def socket_pair() -> Any:
    one, other = socket.socketpair()
    other.close()
    one.close()
    return one


def pydantic_model() -> Any:
    from pydantic import BaseModel, PrivateAttr

    class Settings(BaseModel, arbitrary_types_allowed=True):
        api_key: str = KEY
        client: Any = None
        _token: str = PrivateAttr(KEY)

    return Settings(client=Sdk())


def pydantic_class() -> Any:
    from pydantic import BaseModel

    class Tool(BaseModel):
        """A tool."""

        api_key: str = KEY

    return Tool


def secret(kind: str) -> Any:
    import pydantic

    if kind == "bytes":
        return pydantic.SecretBytes(KEY.encode())
    return pydantic.SecretStr(KEY) if kind == "str" else pydantic.Secret(KEY)


def langchain_message() -> Any:
    from langchain_core.messages import AIMessage

    return AIMessage("hi", additional_kwargs={"api_key": KEY, "raw": Sdk()}, tool_calls=[])


def langchain_tool() -> Any:
    from langchain_core.tools import StructuredTool

    def search(query: str, api_key: str = KEY) -> str:
        """Search."""
        return query

    return StructuredTool.from_function(search)


def fake_model(name: str) -> Any:
    from langchain_core.language_models import fake_chat_models

    if name == "GenericFakeChatModel":
        return fake_chat_models.GenericFakeChatModel(messages=iter([KEY]))
    return getattr(fake_chat_models, name)(responses=["x"])


def langplug_model() -> Any:
    from langplug.models import ChatScripted

    return ChatScripted(replies=["x"])


STANDARD: dict[str, Callable[[], Any]] = {
    "an object": object,
    "a client": Sdk,
    "a hostile object": Hostile,
    "an object that cannot be read": Watchful,
    "an object with every attribute": Eager,
    "a pretended dict": Pretender,
    "an object with a hostile class": OfMeta,
    "a hostile class": lambda: OfMeta,
    "a lazy mapping": LazyMapping,
    "a lazy dict": LazyDict,
    "a list that tells": lambda: Reprs([KEY]),
    "a hostile text": lambda: Text("x"),
    "a hostile number": lambda: Number(3),
    "a mock": lambda: unittest.mock.MagicMock(key=KEY),
    "a mock of a text": lambda: unittest.mock.MagicMock(spec=str),
    "a lock": threading.Lock,
    "an rlock": threading.RLock,
    "a condition": threading.Condition,
    "an event": threading.Event,
    "a thread": threading.Thread,
    "thread-local data": threading.local,
    "a context variable": lambda: contextvars.ContextVar(KEY, default=KEY),
    "a queue": queue.Queue,
    "a generator": generator,
    "a coroutine": started_coroutine,
    "an iterator": lambda: iter([KEY]),
    "a count": itertools.count,
    "a map": lambda: map(_raise, [1]),
    "a socket": socket_pair,
    "a file": lambda: io.StringIO(KEY),
    "a file of bytes": lambda: io.BytesIO(KEY.encode()),
    "a weak reference": lambda: weakref.ref(Sdk),
    "a dead proxy": lambda: weakref.proxy(Sdk()),
    "a memory view": lambda: memoryview(KEY.encode()),
    "a frame": frame,
    "a module": module_with_key,
    "an error": lambda: ValueError(KEY),
    "a namespace": lambda: types.SimpleNamespace(api_key=KEY),
    "14 dataclasses": deep_dataclasses,
    "a dataclass with slots": lambda: SlottedBox(KEY, Sdk()),
    "a cyclic list": cyclic_list,
    "a cyclic dict": cyclic_dict,
    "20,000 lists": deep_list,
    "a number without end": lambda: 16**4000,
    "numbers without end": lambda: {"n": [-(16**4000)], 16**4000: Number(16**4000), "s": {16**4000}},
    "a default dict": lambda: collections.defaultdict(Sdk, token=KEY),
    "a deque": lambda: collections.deque([Sdk(), {"api_key": KEY}]),
    "a chain map": lambda: collections.ChainMap({"api_key": KEY}),
    "a read-only mapping": lambda: types.MappingProxyType({"api_key": KEY}),
    "a dict with odd keys": lambda: {Sdk(): 1, 3: {"token": KEY}, ("a", None): [b"x"], b"api_key": KEY},
    "headers": lambda: {"X-Api-Key": KEY, "Cookie": [KEY], "api-key": KEY.encode(), "x-goog-api-key": {"value": KEY}},
    "headers as pairs": lambda: [("Authorization", KEY), ["x-api-key", KEY]],
    "headers as records": lambda: [{"name": "Authorization", "value": KEY}, {"key": "API_KEY", "value": KEY}],
    "a server's settings": lambda: {"mcp": [{"authorization_token": KEY, "url": f"https://u:{KEY}@x/?api_key={KEY}"}]},
    "a set of objects": lambda: {Sdk(), frozenset({1})},
    "a function": lambda: lambda text, api_key=KEY: text,
    "a method": lambda: Sdk().__repr__,
    "a partial": lambda: functools.partial(Sdk, KEY),
    "a cached function": lambda: functools.lru_cache(lambda text: KEY),
    "a class": lambda: Sdk,
    "a model of pydantic": pydantic_model,
    "a class of pydantic": pydantic_class,
    "a secret": lambda: secret("str"),
    "secret bytes": lambda: secret("bytes"),
    "any secret": lambda: secret("any"),
    "a message": langchain_message,
    "a tool": langchain_tool,
    "a fake model": lambda: fake_model("FakeListChatModel"),
    "a generic fake model": lambda: fake_model("GenericFakeChatModel"),
    "a model of langplug": langplug_model,
}


def requests_session() -> Any:
    import requests

    session = requests.Session()
    session.headers["Authorization"] = KEY
    session.auth = ("me", KEY)
    return session


def httpx_client(name: str) -> Any:
    import httpx

    return getattr(httpx, name)(headers={"X-Api-Key": KEY}, auth=("me", KEY))


def aiohttp_session() -> Any:
    import asyncio
    import concurrent.futures

    import aiohttp

    async def make() -> Any:
        async with aiohttp.ClientSession(headers={"X-Api-Key": KEY}) as session:
            return session

    with concurrent.futures.ThreadPoolExecutor() as threads:  # where no loop runs
        return threads.submit(lambda: asyncio.run(make())).result()


def pool_manager() -> Any:
    import urllib3

    return urllib3.PoolManager(headers={"Authorization": KEY})


def numpy_array() -> Any:
    import numpy as np

    return np.arange(12.0).reshape(3, 4)


def numpy_number() -> Any:
    import numpy as np

    return np.float32(0.25)


def boto3_client() -> Any:
    return import_module("boto3").client(
        "bedrock-runtime", region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=KEY
    )


def genai_client() -> Any:
    return import_module("google.genai").Client(api_key=KEY)


def openai_client(name: str) -> Any:
    return getattr(import_module("openai"), name)(
        api_key=KEY, default_headers={"X-Api-Key": KEY}, base_url="http://127.0.0.1:9/v1"
    )


def redis_client() -> Any:
    return import_module("redis").Redis(password=KEY)


def chat_openai() -> Any:
    return import_module("langchain_openai").ChatOpenAI(
        model="m", api_key=KEY, base_url="http://127.0.0.1:9/v1", default_headers={"X-Api-Key": KEY}
    )


INSTALLED: dict[str, Callable[[], Any]] = {
    "requests": requests_session,
    "httpx": lambda: httpx_client("Client"),
    "httpx, async": lambda: httpx_client("AsyncClient"),
    "aiohttp": aiohttp_session,
    "urllib3": pool_manager,
    "numpy": numpy_array,
    "numpy, a number": numpy_number,
}
"""Of packages that the test environment has in any case."""

SEPARATE: dict[str, Callable[[], Any]] = {
    "boto3": boto3_client,
    "google.genai": genai_client,
    "openai": lambda: openai_client("OpenAI"),
    "openai, async": lambda: openai_client("AsyncOpenAI"),
    "redis": redis_client,
    "langchain_openai": chat_openai,
}
"""Of packages for which `make test-clients` has an environment."""
