"""What an author's HTTP client raises becomes the error that it means, whatever the client."""

import asyncio
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from tests.paths import PATHS, Path

from langplug import ChatModel, IncompleteAnswerError, RefusalError, Request, resource
from langplug._answer.client_errors import retry_after_of
from langplug.http import error_of_exception
from langplug.models import ChatEndpoint
from langplug_backend import Backend, Fault

KEY = "sk-MARKER-0123456789"

# An exception holds its response, and with it the connection, until somebody is done with it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """One server for all."""
    with Backend() as backend:
        yield backend


@pytest.fixture(autouse=True)
def forget(backend: Backend) -> None:
    backend.forget()


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    return PATHS[request.param]


# --- models over real clients: each asks for a stream, as its client's documentation shows ---


class ChatClient(ChatModel):
    """A model over somebody's client."""

    url: str
    limit: float = 5.0

    def body(self, request: Request) -> dict[str, Any]:
        return {"model": "m", "messages": request.openai_messages(), "stream": True}


class ChatHttpx(ChatClient):
    """Over httpx."""

    def respond(self, request: Request, /) -> Iterator[str]:
        with (
            httpx.Client(timeout=self.limit) as client,
            client.stream("POST", self.url, json=self.body(request)) as response,
        ):
            if response.is_error:
                response.read()
            response.raise_for_status()
            for line in response.iter_lines():
                yield text_in(line)


class ChatAsyncHttpx(ChatClient):
    """Over httpx, async."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        async with (
            httpx.AsyncClient(timeout=self.limit) as client,
            client.stream("POST", self.url, json=self.body(request)) as response,
        ):
            if response.is_error:
                await response.aread()
            response.raise_for_status()
            async for line in response.aiter_lines():
                yield text_in(line)


class ChatAiohttp(ChatClient):
    """Over aiohttp. Its limit for a whole request ends in a builtin TimeoutError."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        timeout = aiohttp.ClientTimeout(total=self.limit)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.url, json=self.body(request), raise_for_status=True) as response,
        ):
            async for line in response.content:
                yield text_in(line.decode())


class ChatRequests(ChatClient):
    """Over requests."""

    def respond(self, request: Request, /) -> Iterator[str]:
        with requests.post(self.url, json=self.body(request), stream=True, timeout=self.limit) as response:
            if not response.ok:
                assert response.content
            response.raise_for_status()
            for line in response.iter_lines():
                yield text_in(line.decode())


class ChatUrllib3(ChatClient):
    """Over urllib3, which has no `raise_for_status`."""

    def respond(self, request: Request, /) -> Iterator[str]:
        timeout = urllib3.Timeout(total=self.limit)
        with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
            response = pool.request("POST", self.url, json=self.body(request), preload_content=False)
            try:
                for line in response:
                    yield text_in(line.decode())
            finally:
                response.release_conn()
                response.close()


class ChatUrllib(ChatClient):
    """Over the standard library."""

    def respond(self, request: Request, /) -> Iterator[str]:
        import json

        sent = urllib.request.Request(self.url, json.dumps(self.body(request)).encode(), {"Content-Type": "json"})
        with urllib.request.urlopen(sent, timeout=self.limit) as response:
            for line in response:
                yield text_in(line.decode())


def text_in(line: str) -> str:
    import json

    data = line.strip().removeprefix("data: ")
    if not data.startswith("{"):
        return ""
    choices = json.loads(data)["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


OVER: dict[str, type[ChatClient]] = {
    "httpx": ChatHttpx,
    "httpx, async": ChatAsyncHttpx,
    "aiohttp": ChatAiohttp,
    "requests": ChatRequests,
    "urllib3": ChatUrllib3,
    "urllib": ChatUrllib,
}

BY_STATUS = {
    400: ModelInvalidRequestError,
    401: ModelAuthenticationError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    429: ModelRateLimitError,
    500: ModelAPIError,
    503: ModelAPIError,
}


def make(client: str, backend: Backend, **settings: Any) -> ChatClient:
    return OVER[client](url=f"{backend.openai_url}/chat/completions", **settings)


@pytest.mark.parametrize("client", OVER)
def test_an_answer_comes_over_each_client(backend: Backend, client: str) -> None:
    """The models of these tests work: they give what the server says."""
    assert "one two" == make(client, backend).invoke("one two").text


@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize("client", sorted(OVER.keys() - {"urllib3"}))
def test_a_status_is_the_error_that_it_means(backend: Backend, call: Path, client: str, status: int) -> None:
    """A client's exception for a status is the typed error with its `retry_after`, and the original as cause."""
    backend.fault = Fault.status(status, retry_after=7, message="It will not do.")
    with pytest.raises(BY_STATUS[status]) as caught:
        call(make(client, backend), "x")
    error: Any = caught.value
    assert (status, 7.0) == (error.status_code, error.retry_after)
    assert error.partial is None
    assert isinstance(error.__cause__, Exception)
    assert not isinstance(error.__cause__, ModelError)


@pytest.mark.parametrize("client", ["httpx", "httpx, async", "requests"])
def test_the_words_of_the_body_refine_the_type(backend: Backend, client: str) -> None:
    """A body that the author has read is quoted, and its words tell a prompt that is too long from a wrong request."""
    for kind, error in {"context_overflow": ContextOverflowError, "content_policy": RefusalError}.items():
        backend.fault = Fault(kind=kind)
        with pytest.raises(error, match="HTTP 400"):
            make(client, backend).invoke("x")
    backend.fault = Fault(kind="quota")
    with pytest.raises(ModelRateLimitError) as caught:
        make(client, backend).invoke("x")
    assert not caught.value.is_retryable


@pytest.mark.parametrize("client", OVER)
def test_a_server_that_is_not_there(closed_port: int, call: Path, client: str) -> None:
    """No connection is a `ModelConnectionError`, which may be tried again."""
    model = OVER[client](url=f"http://127.0.0.1:{closed_port}/v1/chat/completions")
    with pytest.raises(ModelConnectionError) as caught:
        call(model, "x")
    assert caught.value.is_retryable
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("kind", ["stall_before_headers", "stall_after_headers", "stall"])
@pytest.mark.parametrize("client", OVER)
def test_a_server_that_says_nothing(backend: Backend, client: str, kind: str) -> None:
    """A limit that the client has kept is a `ModelTimeoutError`, wherever the silence began."""
    backend.fault = Fault(kind=kind, after=1 if kind == "stall" else 0)
    with pytest.raises(ModelTimeoutError) as caught:
        make(client, backend, limit=0.3).invoke("one two three")
    assert caught.value.__cause__ is not None
    if kind == "stall":
        assert "one" == caught.value.partial.text.strip()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["cut_chunked", "reset"])
@pytest.mark.parametrize("client", OVER)
def test_an_answer_that_breaks_off(backend: Backend, client: str, kind: str) -> None:
    """After the first part, a connection that ends is an `IncompleteAnswerError` with what had come."""
    if (client, kind) == ("urllib", "cut_chunked"):
        pytest.skip("http.client gives the lines of a body that is cut off, and no error")
    backend.fault = Fault(kind=kind, after=2)
    with pytest.raises(IncompleteAnswerError) as caught:
        make(client, backend).invoke("one two three")
    assert caught.value.partial is not None
    assert "one two" == caught.value.partial.text


@pytest.fixture
def closed_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# --- wherever the author's code runs ---


class ChatResource(ChatModel):
    """Its client logs in as it is made."""

    url: str

    @resource
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Log in."""
        async with httpx.AsyncClient() as client:
            (
                await client.post(self.url, json={"model": "m", "messages": [{"role": "user", "content": "x"}]})
            ).raise_for_status()
            yield client

    async def respond(self, request: Request, /) -> str:
        await self.client
        return "never"


def test_a_resource_that_cannot_be_made(backend: Backend, call: Path) -> None:
    """What a client raises while a resource is made is read like what it raises in `respond`."""
    backend.fault = Fault.status(401)
    with pytest.raises(ModelAuthenticationError) as caught:
        call(ChatResource(url=f"{backend.openai_url}/chat/completions"), "x")
    assert isinstance(caught.value.__cause__, httpx.HTTPStatusError)


def test_a_key_that_cannot_be_had(backend: Backend, closed_port: int, call: Path) -> None:
    """And so is what it raises in the function given as `auth`."""

    def key() -> str:
        return httpx.post(f"http://127.0.0.1:{closed_port}/token").raise_for_status().text

    with pytest.raises(ModelConnectionError) as caught:
        call(ChatEndpoint(model="m", base_url=backend.openai_url, auth=key, max_retries=0), "x")
    chain: list[BaseException | None] = [caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)]
    assert any(isinstance(one, httpx.ConnectError) for one in chain)


def test_a_group_of_one(closed_port: int) -> None:
    """`asyncio.TaskGroup` puts the exception into a group; one alone is read as itself."""

    class ChatGroup(ChatModel):
        """Asks in a task."""

        async def respond(self, request: Request, /) -> str:
            async with httpx.AsyncClient() as client, asyncio.TaskGroup() as tasks:
                tasks.create_task(client.get(f"http://127.0.0.1:{closed_port}"))
            return "never"

    with pytest.raises(ModelConnectionError) as caught:
        ChatGroup().invoke("x")
    assert isinstance(caught.value.__cause__, ExceptionGroup)


# --- what is the author's own stays ---


def named(name: str, module: str, *bases: type[BaseException]) -> type[Any]:
    """A class as some package defines it."""
    return type(name, bases or (Exception,), {"__module__": module})


OWN: list[Exception] = [
    ValueError("mine"),
    TimeoutError("mine"),
    ConnectionError("mine"),
    OSError("mine"),
    LookupError("mine"),
    named("TimeoutError", "acme.client")("mine"),
    named("HTTPStatusError", "acme.httpx")("mine"),
    ModelRateLimitError("mine"),
    IncompleteAnswerError("mine"),
    httpx.StreamConsumed(),
]


@pytest.mark.parametrize("error", OWN, ids=lambda error: f"{type(error).__module__}.{type(error).__name__}")
def test_an_authors_own_error_stays_what_it_is(error: Exception, call: Path) -> None:
    """An exception that does not come from a client, or says nothing of a request, is raised as it is."""

    class ChatOwn(ChatModel):
        """Fails."""

        def respond(self, request: Request, /) -> str:
            raise error

    with pytest.raises(type(error)) as caught:
        call(ChatOwn(), "x")
    assert caught.value is error
    assert (None if not isinstance(error, ModelError) else error) is error_of_exception(error)


def test_a_retrying_library_around_it_changes_nothing() -> None:
    """A builtin error of the author's own stays theirs, though a library's frames are around their function."""
    tenacity = pytest.importorskip("tenacity")

    class ChatRetried(ChatModel):
        """Fails."""

        def respond(self, request: Request, /) -> str:
            @tenacity.retry(stop=tenacity.stop_after_attempt(2), reraise=True)  # type: ignore[untyped-decorator]
            def ask() -> str:
                raise TimeoutError("mine")

            return str(ask())

    with pytest.raises(TimeoutError, match="mine"):
        ChatRetried().invoke("x")


def test_an_error_of_the_authors_from_a_clients_stays(closed_port: int) -> None:
    """An author who raises an error of their own `from` a client's has decided what it is."""

    class ChatDecided(ChatModel):
        """Fails."""

        def respond(self, request: Request, /) -> str:
            try:
                httpx.get(f"http://127.0.0.1:{closed_port}")
            except httpx.HTTPError as error:
                raise LookupError("mine") from error
            return ""

    with pytest.raises(LookupError, match="mine"):
        ChatDecided().invoke("x")


def test_no_key_in_what_is_quoted() -> None:
    """The message holds no secret of the model's, although clients write whole addresses into theirs."""
    from pydantic import SecretStr

    class ChatSecret(ChatModel):
        """Sends its key in the query."""

        api_key: SecretStr

        def respond(self, request: Request, /) -> str:
            url = f"https://acme.example/v1?key={self.api_key.get_secret_value()}"
            raise httpx.ConnectError(f"could not reach {url} or say {self.api_key.get_secret_value()}")

    with pytest.raises(ModelConnectionError, match="could not reach") as caught:
        ChatSecret(api_key=KEY).invoke("x")
    assert KEY not in str(caught.value)


IN_ADDRESSES = [
    "http://me:MARKER@{}/x",
    "http://MARKER@{}/x",
    "http://{}/x?api_key=MARKER&n=1",
    "http://{}/x?sig=MARKER",
]


@pytest.mark.parametrize("address", IN_ADDRESSES)
@pytest.mark.parametrize("ask", [httpx.get, requests.get, urllib.request.urlopen], ids=["httpx", "requests", "urllib"])
@pytest.mark.parametrize("there", [True, False])
def test_no_secret_of_an_address_is_quoted(
    backend: Backend, closed_port: int, address: str, ask: Callable[[str], Any], there: bool
) -> None:
    """Clients write the address into their messages; its user, password and keys are not in the error or the log."""

    class ChatAddress(ChatModel):
        """Asks by an address."""

        url: str

        def respond(self, request: Request, /) -> str:
            response = ask(self.url)
            response.raise_for_status()
            return "never"

    backend.fault = Fault.status(404, message="")
    host = backend.url.removeprefix("http://") if there else f"127.0.0.1:{closed_port}"
    with pytest.raises(ModelError) as caught:
        ChatAddress(url=address.format(host)).invoke("x")
    cause = caught.value.__cause__
    assert cause is not None
    direct = error_of_exception(cause)
    assert "MARKER" not in f"{caught.value}{direct}"


# --- clients that are not installed here, by stand-ins of the same names and attributes ---


class Response:
    """What an exception knows of a response."""

    def __init__(self, status: int, text: str = "", headers: dict[str, str] | None = None) -> None:
        self.status_code = status
        self.text = text
        self.headers = headers or {}


def with_fields(cls: type[Any], *args: Any, **fields: Any) -> Exception:
    error = cls(*args)
    for name, value in fields.items():
        setattr(error, name, value)
    assert isinstance(error, Exception)
    return error


def aws(code: str, status: int | None, message: str = "no") -> Exception:
    response: dict[str, Any] = {"Error": {"Code": code, "Message": message}}
    if status is not None:
        response["ResponseMetadata"] = {
            "HTTPStatusCode": status,
            "HTTPHeaders": {"retry-after": "3"},
            "RequestId": "r-1",
        }
    cls = named("ClientError", "botocore.exceptions")
    return with_fields(cls, f"An error occurred ({code}) when calling Converse: {message}", response=response)


class Code:
    """A code of gRPC's."""

    def __init__(self, name: str) -> None:
        self.name = name


def grpc(name: str) -> Exception:
    base = named("RpcError", "grpc")
    error = named("AioRpcError", "grpc.aio._call", base)("the RPC terminated")
    error.code = lambda: Code(name)
    error.details = lambda: f"details of {name}"
    assert isinstance(error, Exception)
    return error


OPENAI = named("APIError", "openai")
OPENAI_CONNECTION = named("APIConnectionError", "openai", OPENAI)
OPENAI_STATUS = named("APIStatusError", "openai", OPENAI)

STAND_INS: dict[str, tuple[Exception, type[ModelError]]] = {
    "openai 429": (
        with_fields(named("RateLimitError", "openai", OPENAI_STATUS), "slow", status_code=429, response=Response(429)),
        ModelRateLimitError,
    ),
    "openai overflow": (
        with_fields(
            named("BadRequestError", "openai", OPENAI_STATUS),
            "no",
            status_code=400,
            body={"code": "context_length_exceeded", "message": "too long"},
        ),
        ContextOverflowError,
    ),
    "openai timeout": (named("APITimeoutError", "openai", OPENAI_CONNECTION)("Request timed out."), ModelTimeoutError),
    "openai connection": (OPENAI_CONNECTION("Connection error."), ModelConnectionError),
    "openai, in a stream": (
        with_fields(OPENAI, "busy", body={"message": "busy", "code": "rate_limit_exceeded"}),
        ModelRateLimitError,
    ),
    "anthropic 529": (
        with_fields(
            named("OverloadedError", "anthropic", named("APIStatusError", "anthropic")),
            "busy",
            status_code=529,
            response=Response(529),
        ),
        ModelAPIError,
    ),
    "botocore throttled": (aws("ThrottlingException", 400, "Too many tokens, please wait"), ModelRateLimitError),
    "botocore throttled in a stream": (aws("throttlingException", None), ModelRateLimitError),
    "botocore expired": (aws("ExpiredTokenException", 403), ModelAuthenticationError),
    "botocore denied": (aws("AccessDeniedException", 403), ModelPermissionDeniedError),
    "botocore overflow": (
        aws("ValidationException", 400, "Input is too long for requested model."),
        ContextOverflowError,
    ),
    "botocore unknown": (aws("SomethingException", 500), ModelAPIError),
    "botocore endpoint": (named("EndpointConnectionError", "botocore.exceptions")("no"), ModelConnectionError),
    "botocore read": (named("ReadTimeoutError", "botocore.exceptions")("no"), ModelTimeoutError),
    "botocore credentials": (named("NoCredentialsError", "botocore.exceptions")("no"), ModelAuthenticationError),
    "genai 429": (
        with_fields(named("ClientError", "google.genai.errors"), "no", code=429, status="RESOURCE_EXHAUSTED"),
        ModelRateLimitError,
    ),
    "genai overflow": (
        with_fields(
            named("ClientError", "google.genai.errors"),
            "no",
            code=400,
            status="INVALID_ARGUMENT",
            message="The input token count (9) exceeds the maximum number of tokens allowed (8).",
        ),
        ContextOverflowError,
    ),
    "api_core deadline": (
        with_fields(named("DeadlineExceeded", "google.api_core.exceptions"), "no", code=504),
        ModelTimeoutError,
    ),
    "grpc exhausted": (grpc("RESOURCE_EXHAUSTED"), ModelRateLimitError),
    "grpc unavailable": (grpc("UNAVAILABLE"), ModelAPIError),
    "grpc unauthenticated": (grpc("UNAUTHENTICATED"), ModelAuthenticationError),
    "grpc deadline": (grpc("DEADLINE_EXCEEDED"), ModelTimeoutError),
    "grpc cancelled": (grpc("CANCELLED"), ModelInvalidRequestError),
    "cohere": (with_fields(named("ApiError", "cohere.core"), "no", status_code=404, body="none"), ModelNotFoundError),
    "mistral": (with_fields(named("SDKError", "mistralai.models"), "no", status_code=503, body="b"), ModelAPIError),
    "azure": (
        with_fields(named("HttpResponseError", "azure.core.exceptions"), "no", status_code=401),
        ModelAuthenticationError,
    ),
    "ollama": (with_fields(named("ResponseError", "ollama._types"), "no", status_code=404), ModelNotFoundError),
    "websockets": (named("ConnectionClosedError", "websockets.exceptions")("no"), ModelConnectionError),
    "a certificate": (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] no"), ModelConnectionError),
    "an address": (httpx.UnsupportedProtocol("no http"), ModelInvalidRequestError),
    "requests, within": (
        requests.ConnectionError(urllib3.exceptions.ReadTimeoutError(None, "/", "Read timed out.")),  # type: ignore[arg-type]
        ModelTimeoutError,
    ),
    "urllib, within": (urllib.error.URLError(TimeoutError("timed out")), ModelTimeoutError),
    "requests, connecting": (requests.ConnectTimeout("no"), ModelTimeoutError),
    "tenacity": (named("RetryError", "tenacity")("Future"), ModelConnectionError),
}
STAND_INS["tenacity"][0].__cause__ = httpx.ReadError("no")


@pytest.mark.parametrize("case", STAND_INS)
def test_an_exception_is_known_by_what_it_carries(case: str) -> None:
    """A client's exception is read by its package, its class's name and its attributes, without its package."""
    error, expected = STAND_INS[case]

    class ChatFails(ChatModel):
        """Fails."""

        def respond(self, request: Request, /) -> str:
            raise error

    with pytest.raises(expected) as caught:
        ChatFails().invoke("x")
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error


def test_a_certificate_is_not_tried_again() -> None:
    """A connection that fails for its certificate will fail again."""
    for error in (httpx.ConnectError("CERTIFICATE_VERIFY_FAILED"), requests.exceptions.SSLError(ssl.SSLError("x"))):
        known = error_of_exception(error)
        assert isinstance(known, ModelConnectionError)
        assert known.is_retryable is not ("CERTIFICATE" in str(error))


def test_aws_says_when_to_come_back() -> None:
    """botocore's response has the headers and the request's id."""
    known: Any = error_of_exception(aws("ThrottlingException", 429))
    assert (429, 3.0, "r-1") == (known.status_code, known.retry_after, known.request_id)


@pytest.mark.parametrize("sdk", ["openai", "anthropic", "langchain_openai"])
def test_real_sdks(backend: Backend, sdk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs themselves, where they are installed: a status, a silence, and no server."""
    module = pytest.importorskip(sdk)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def ask(url: str, limit: float) -> Callable[[Request], str]:
        def respond(request: Request) -> str:
            if sdk == "openai":
                client = module.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=limit)
                answer = client.chat.completions.create(model="m", messages=request.openai_messages())
                return str(answer.choices[0].message.content)
            if sdk == "anthropic":
                client = module.Anthropic(base_url=url.removesuffix("/v1"), api_key=KEY, max_retries=0, timeout=limit)
                client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "x"}])
                return ""
            model = module.ChatOpenAI(base_url=url, model="m", api_key=KEY, max_retries=0, timeout=limit)
            return str(model.invoke(list(request.messages)).text)

        return respond

    class ChatSdk(ChatModel):
        """Asks by the SDK."""

        url: str
        limit: float = 5

        def respond(self, request: Request, /) -> str:
            return ask(self.url, self.limit)(request)

    model = ChatSdk(url=backend.openai_url)
    for fault, expected in (
        (Fault.status(429, retry_after=7), ModelRateLimitError),
        # langchain-openai has errors of its own by now, and knows another sentence.
        (Fault(kind="context_overflow"), ContextOverflowError if sdk != "langchain_openai" else ModelError),
        (Fault.status(401), ModelAuthenticationError),
        (Fault.status(503), ModelAPIError),
    ):
        backend.fault = fault
        with pytest.raises(expected) as caught:
            model.invoke("x")
        if fault.code == 429:
            assert 7.0 == retry_after_of(caught.value)
    backend.fault = Fault(kind="stall_before_headers")
    with pytest.raises(ModelTimeoutError):
        model.invoke("x", limit=0.3)
    with pytest.raises(ModelConnectionError):
        model.invoke("x", url="http://127.0.0.1:9/v1")
