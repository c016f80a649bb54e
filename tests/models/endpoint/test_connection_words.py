"""What models behind HTTP say when TLS, a proxy or a file of certificates is the reason that no answer comes."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path as File
from typing import Any

import pytest
from langchain_core.exceptions import ModelConnectionError, ModelError, ModelInvalidRequestError
from tests.models.endpoint.certificates import server_context
from tests.models.endpoint.relays import Proxy, Relay, To
from tests.models.endpoint.test_credentials import everything_of
from tests.paths import Path

from langplug.http import client_credentials
from langplug.models import ChatEndpoint, ChatHTTP
from langplug_backend import Backend

PASSWORD = "sesame-open-99"

Refuse = Callable[..., ModelError]


def endpoint(base_url: str, **settings: Any) -> ChatEndpoint:
    return ChatEndpoint(model="m", base_url=base_url, max_retries=0, **settings)


def described(base_url: str, **settings: Any) -> ChatHTTP:
    return ChatHTTP(base_url=base_url, url="/x", body={"p": "$prompt"}, text="t", max_retries=0, **settings)


@pytest.fixture(params=[endpoint, described])
def refuse(request: pytest.FixtureRequest, call: Path) -> Refuse:
    """The error of a model of each kind, by each path."""

    def refuse(base_url: str, **settings: Any) -> ModelError:
        with closing(request.param(base_url, **settings)) as model, pytest.raises(ModelError) as caught:
            call(model, "x")
        assert PASSWORD not in everything_of(caught.value)
        return caught.value

    return refuse


class Saying(Relay):
    """Answers whatever comes with a few bytes, and closes the connection."""

    def __init__(self, said: bytes) -> None:
        super().__init__()
        self._said = said

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(self._said)


# --- TLS where there is none, and none where there is ---


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"<html>Bad Request</html>"]
)
def test_https_to_a_port_of_plain_http(refuse: Refuse, said: bytes) -> None:
    """The error says to write http://, does not speak of `verify`, and is final."""
    with Saying(said) as server:
        error = refuse(f"https://127.0.0.1:{server.port}/v1")
    assert isinstance(error, ModelConnectionError)
    assert f"it speaks plain http: write http://127.0.0.1:{server.port} in `base_url`" in str(error)
    assert "verify" not in str(error)
    assert not error.is_retryable


def test_https_to_a_port_that_hangs_up(refuse: Refuse) -> None:
    """Where nothing tells what the server expected, http:// is what may be right."""
    with Saying(b"") as server:
        assert f"If it speaks plain http, write http://127.0.0.1:{server.port}" in str(
            refuse(f"https://127.0.0.1:{server.port}/v1")
        )


def test_https_to_a_server_that_waits(backend: Backend, refuse: Refuse) -> None:
    """A server that waits for the end of a line, which TLS does not send: the timeout says the same."""
    error = refuse(f"https://127.0.0.1:{backend.port}/v1", connect_timeout=0.2)
    assert f"If it speaks plain http, write http://127.0.0.1:{backend.port}" in str(error)


def test_http_to_a_port_of_tls(backend: Backend, refuse: Refuse, certificates: File) -> None:
    """The error says that the server may expect https://."""
    with To(backend.port, server_context(certificates)) as relay:
        error = refuse(f"http://127.0.0.1:{relay.port}/v1")
    assert isinstance(error, ModelConnectionError)
    assert f"If it expects TLS, write https://127.0.0.1:{relay.port}" in str(error)


def test_http_to_a_port_of_tls_that_says_so(refuse: Refuse) -> None:
    """Servers that answer with TLS's own alert leave no doubt."""
    with Saying(b"\x15\x03\x03\x00\x02\x02\x46") as server:
        error = refuse(f"http://127.0.0.1:{server.port}/v1")
    assert f"it speaks TLS: write https://127.0.0.1:{server.port} in `base_url`" in str(error)
    assert not error.is_retryable


def test_a_server_of_plain_http_that_closes_is_no_hint_at_certificates(refuse: Refuse) -> None:
    """A server that crashes is not one whose certificate is to be trusted."""
    with Saying(b"") as server:
        assert "verify" not in str(refuse(f"http://127.0.0.1:{server.port}/v1"))


# --- proxies ---

VARIABLES = [
    ("http", "HTTP_PROXY"),
    ("http", "http_proxy"),
    ("https", "HTTPS_PROXY"),
    ("http", "ALL_PROXY"),
    ("https", "all_proxy"),
]


@pytest.mark.parametrize(("scheme", "variable"), VARIABLES)
def test_a_dead_proxy_of_the_environment(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, closed_port: int, scheme: str, variable: str
) -> None:
    """It is named with its variable, without its password, and how to go without it is told."""
    monkeypatch.setenv(variable, f"http://ann:{PASSWORD}@127.0.0.1:{closed_port}")
    error = refuse(f"{scheme}://127.0.0.1:9/v1")
    assert isinstance(error, ModelConnectionError)
    assert f"the proxy http://***@127.0.0.1:{closed_port} (from the environment variable {variable})" in str(error)
    assert "add 127.0.0.1 to NO_PROXY" in str(error)


def test_a_dead_proxy_that_was_given(refuse: Refuse, closed_port: int) -> None:
    """It is named with the setting."""
    error = refuse("http://127.0.0.1:9/v1", proxy=f"http://127.0.0.1:{closed_port}")
    assert f"the proxy http://127.0.0.1:{closed_port} (from `proxy`)" in str(error)


def test_the_environments_proxy_may_lack_its_scheme(
    backend: Backend, call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`127.0.0.1:7890`, as curl takes it, is an HTTP proxy."""
    with Proxy() as proxy, closing(endpoint(backend.openai_url)) as model:
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        assert "x" == call(model, "x").text
        assert 1 == len(proxy.asked)


@pytest.mark.parametrize("kind", ["socks5", "socks5h", "socks4", "socks"])
@pytest.mark.parametrize(("scheme", "variable"), VARIABLES)
def test_a_socks_proxy_of_the_environment_is_refused(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, kind: str, scheme: str, variable: str
) -> None:
    """It is not spoken to as if it were an HTTP proxy; the error says what to set."""
    monkeypatch.setenv(variable, f"{kind}://ann:{PASSWORD}@127.0.0.1:9")
    error = refuse(f"{scheme}://127.0.0.1:9/v1")
    assert isinstance(error, ModelInvalidRequestError)
    assert f"The proxy {kind}://***@127.0.0.1:9 (from the environment variable {variable})" in str(error)
    assert f"SOCKS proxy, which is not supported. Set {scheme.upper()}_PROXY" in str(error)


def test_an_http_proxy_comes_before_a_socks_proxy_for_all(
    backend: Backend, call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables as Clash and others tell to set them: HTTP_PROXY counts."""
    with Proxy() as proxy, closing(endpoint(backend.openai_url)) as model:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        assert "x" == call(model, "x").text


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1", "http://", "http://127.0.0.1:port", "http://127.0.0.1:99999"])
def test_what_is_not_a_proxys_address(refuse: Refuse, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """It is named with its variable before anything is sent."""
    monkeypatch.setenv("HTTP_PROXY", address)
    error = refuse("http://127.0.0.1:9/v1")
    assert f"{address} (from the environment variable HTTP_PROXY) is not the address of an HTTP proxy" in str(error)


@pytest.mark.parametrize("make", [endpoint, described])
@pytest.mark.parametrize(
    ("address", "told"),
    [("socks5://127.0.0.1:1", "SOCKS proxy is not supported"), ("localhost:7890", "http://127.0.0.1:7890")],
)
def test_a_proxy_that_cannot_be_is_refused_at_once(make: Callable[..., Any], address: str, told: str) -> None:
    """The constructor says what a proxy's address looks like."""
    with pytest.raises(ValueError, match=told):
        make("http://localhost:1/v1", proxy=address)


@pytest.mark.parametrize(("status", "final"), [(403, True), (407, True), (502, False)])
def test_a_refused_connect(refuse: Refuse, monkeypatch: pytest.MonkeyPatch, status: int, *, final: bool) -> None:
    """A proxy that does not pass TLS on is named, with its status, and what to do."""
    head = f"HTTP/1.1 {status} Because\r\nContent-Length: 0\r\n\r\n".encode()
    with Saying(head) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{PASSWORD}@127.0.0.1:{proxy.port}")
        error = refuse("https://127.0.0.1:9/v1")
    assert isinstance(error, ModelConnectionError)
    assert f"127.0.0.1:{proxy.port} (from the environment variable HTTPS_PROXY)" in str(error)
    assert f"{status} Because" in str(error)
    assert error.is_retryable is not final
    what_to_do = {403: "add 127.0.0.1 to NO_PROXY", 407: "HTTPS_PROXY=http://user:password@", 502: "is the server up"}
    assert what_to_do[status] in str(error)


def test_a_proxy_that_wants_a_password_for_plain_http(refuse: Refuse) -> None:
    """The same where the proxy is given whole addresses."""
    with Proxy(user="another") as proxy:
        error = refuse("http://127.0.0.1:9/v1", proxy=f"http://127.0.0.1:{proxy.port}")
    assert f"the proxy http://127.0.0.1:{proxy.port} (from `proxy`) refuses" in str(error)
    assert "407" in str(error)


def test_a_proxy_of_plain_http_is_not_spoken_to_with_tls(refuse: Refuse) -> None:
    """An https:// address of a proxy that speaks plain http is the proxy's fault, not the server's."""
    with Saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as proxy:
        error = refuse("http://127.0.0.1:9/v1", proxy=f"https://127.0.0.1:{proxy.port}")
    assert f"(from `proxy`) speaks plain http: write http://127.0.0.1:{proxy.port} there" in str(error)


# --- files of certificates ---


@pytest.mark.parametrize("setting", ["verify", "client_cert"])
@pytest.mark.parametrize("content", [None, b"", b"hello\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\xff\xfe\x00"])
def test_a_file_of_certificates_that_is_none(
    refuse: Refuse, tmp_path: File, setting: str, content: bytes | None
) -> None:
    """Missing, empty or not PEM: the error names the setting, the file and what it must hold."""
    file = tmp_path / "some.pem"
    if content is not None:
        file.write_bytes(content)
    error = refuse("https://127.0.0.1:9/v1", **{setting: str(file)})
    assert f"{setting}={str(file)!r} cannot be used: " in str(error)
    assert "PEM" in str(error)
    assert isinstance(error, OSError)
    assert not error.is_retryable


def test_a_certificate_and_another_ones_key(refuse: Refuse, certificates: File) -> None:
    """The error names both files."""
    pair = (str(certificates / "client.pem"), str(certificates / "server.key"))
    assert f"client_cert={pair!r} cannot be used: " in str(refuse("https://127.0.0.1:9/v1", client_cert=pair))


# --- the token server ---


@pytest.fixture
def token_error() -> Callable[..., str]:
    """What `client_credentials` says when no token comes."""

    def told(url: str, **settings: Any) -> str:
        with pytest.raises(ModelError) as caught:
            client_credentials(url, "me", "a-secret-of-mine", **settings).token()
        assert PASSWORD not in everything_of(caught.value)
        return str(caught.value)

    return told


def test_a_token_server_is_told_of_in_the_same_words(
    token_error: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: File, closed_port: int
) -> None:
    """TLS, proxies and files of certificates are named for `client_credentials` too."""
    with Saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        said = token_error(f"https://127.0.0.1:{server.port}/token")
    assert f"No token from https://127.0.0.1:{server.port}/token, since it speaks plain http" in said
    assert "`token_url`" in said
    assert f"verify={str(tmp_path / 'no.pem')!r}" in token_error(
        "https://127.0.0.1:9/", verify=str(tmp_path / "no.pem")
    )
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:{PASSWORD}@127.0.0.1:{closed_port}")
    assert "(from the environment variable HTTP_PROXY) cannot be reached" in token_error("http://127.0.0.1:9/")
    monkeypatch.setenv("HTTP_PROXY", f"socks5://127.0.0.1:{closed_port}")
    assert "SOCKS" in token_error("http://127.0.0.1:9/")
