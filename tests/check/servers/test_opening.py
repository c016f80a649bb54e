"""`langplug check --server URL` as a command: what it says where there is no server to check, and how it ends."""

import json
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web
from tests.aiohttp_server import running
from tests.check.servers.obedient import Obedient
from tests.check.servers.serving import KEY, serving, strict
from tests.models.endpoint.certificates import make_certificates, server_context

from langplug.cli import main
from langplug_backend.http import HttpRequest
from langplug_backend.log import Log
from langplug_backend.response import FakeResponse
from langplug_backend.wrongs.edits import Handle, of_json
from langplug_check.servers.session import strike_out

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command; gives the exit code, stdout and stderr, neither of which ever holds the key."""
    monkeypatch.setenv("SERVER_KEY", KEY + "\n")
    monkeypatch.setenv("WRONG_KEY", "sk-of-another-server")
    monkeypatch.setenv("NO_KEY", "")

    def command(*args: str) -> tuple[int, str, str]:
        code = main(["check", *args])
        told = capsys.readouterr()
        assert KEY[:8] not in told.out + told.err
        return code, told.out, told.err

    return command


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A right server."""
    with serving(Obedient()) as url:
        yield url


def test_a_server_that_keeps_its_contract(run: Run, url: str) -> None:
    """The report goes to stdout; that requests may cost money, and how far it is, to stderr; the exit code is 0."""
    code, out, err = run("--server", url, "--api-key", "env:SERVER_KEY", "--only", "S1", "S22")
    assert (0, True) == (code, out.startswith(f"{url}\nm\n"))
    assert out.endswith("ready: 11 pass\n")
    assert "note: up to 10 short requests go to the model 'm', which may cost money\n11 of 11 checks, 0 failed\n" == err


def test_a_server_that_does_not(run: Run, tmp_path: Path) -> None:
    """A failure is exit code 1, and stands in the report in each of its forms."""
    with strict("numeric_codes") as url:
        files = [part for form in ("junit", "markdown", "html") for part in (f"--{form}", str(tmp_path / form))]
        code, out, _ = run("--server", url, "--api-key", "env:SERVER_KEY", "--only", "S71", "S01", "--json", *files)
    report = json.loads(out)
    assert (1, False, "server") == (code, report["ready"], report["driver"])
    assert {"S71": "fail", "S01": "pass"} == {one["id"]: one["verdict"] for one in report["results"]}
    assert "1" == ET.parse(tmp_path / "junit").getroot().get("failures")
    assert "### S71" in (tmp_path / "markdown").read_text()
    assert 'id="S71" open' in (tmp_path / "html").read_text()


@pytest.mark.parametrize("form", ["{}", "{}/", "{}#m", "{}/v1/"])
def test_a_url_as_people_write_it(form: str, run: Run, url: str) -> None:
    """`/v1` may be left out, a slash may follow, and `#NAME` may name the model, as in a reference."""
    given = form.format(url.removesuffix("/v1"))
    code, out, _ = run("--server", given, "--api-key", "env:SERVER_KEY", "--only", "S10")
    assert (0, True) == (code, out.startswith(f"{url}\nm\n"))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "wants a key: put it into a variable, and give --api-key env:VARIABLE (401: A key is needed"),
        (["--api-key", "env:WRONG_KEY"], "refuses this key (401: "),
        (["--api-key", KEY], "a key would stay in the shell's history"),
        (["--api-key", "env:SERVER_KEI"], "'SERVER_KEI', for 'api_key', is not set, did you mean 'SERVER_KEY'?"),
        (["--api-key", "env:NO_KEY"], "the environment variable of --api-key env:NO_KEY is empty"),
        (["--api-key", "env:SERVER_KEY", "--model", "n"], "has no model 'n' (404: There is no model 'n' here."),
        (["--api-key", "env:SERVER_KEY", "--model", "n"], "It has: m"),
        (["--api-key", "env:SERVER_KEY", "--only", "A01"], "unknown check 'A01' of servers"),
        (["--api-key", "env:SERVER_KEY", "--timeout", "0"], "--timeout takes seconds, more than 0"),
        (["package:model"], "--server checks a server, and a reference is about a model: leave one of them out"),
        (["--with", "a=1"], "and --with is about a model"),
        (["--dialect", "openai"], "and --dialect is about a model"),
        (["--offline"], "and --offline is about a model"),
        (["--here"], "and --here is about a model"),
    ],
)
def test_wrong_use(args: list[str], told: str, run: Run, url: str) -> None:
    """What cannot be done with a server that is there is one sentence with the next step, and exit code 2."""
    code, out, err = run("--server", url, *args)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert told in err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["package:model", "--model", "m"], "--model goes with --server URL"),
        (["package:model", "--api-key", "env:X"], "--api-key goes with --server URL"),
        (["package:model", "--only", "S22"], "S22: what begins with S is about servers: give --server URL"),
    ],
)
def test_what_is_for_servers_alone(args: list[str], told: str, run: Run) -> None:
    """A model takes neither a server's options nor statements about servers."""
    code, out, err = run(*args)
    assert (2, "", True) == (code, out, told in err)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "'' is no base URL of a server, such as http://127.0.0.1:8000/v1"),
        ("localhost:8000/v1", "did you mean http://localhost:8000/v1?"),
        ("ftp://localhost/v1", "is no base URL"),
        ("http://localhost:port/v1", "is no base URL"),
        ("http://[::1/v1", "is no base URL"),
        ("http://local host/v1", "is no base URL"),
        ("http://localhost/v1?api-version=1", "is no base URL"),
        (f"http://user:{KEY}@localhost/v1", "the URL holds a name or a password: give it without"),
        ("http://127.0.0.1:9/v1", "nothing answers at http://127.0.0.1:9/v1: Connection refused"),
        ("http://no-such-host.invalid/v1", "nothing answers at http://no-such-host.invalid/v1: "),
    ],
)
def test_a_url_that_leads_nowhere(url: str, told: str, run: Run) -> None:
    """A URL that is none, or at which nothing answers, is one sentence and exit code 2."""
    code, out, err = run("--server", url)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert told in err


async def page(_: web.Request) -> web.Response:
    return web.Response(text="<html><h1>Welcome</h1>", content_type="text/html")


async def other_api(_: web.Request) -> web.Response:
    return web.json_response({"detail": "Not Found"}, status=404)


@pytest.mark.parametrize("model", [[], ["--model", "m"]], ids=["", "with a model"])
@pytest.mark.parametrize(
    ("answer", "told"), [(page, "a page of HTML"), (other_api, "Not Found")], ids=["a page", "another API"]
)
def test_what_is_no_such_server(answer: Callable[..., object], told: str, model: list[str], run: Run) -> None:
    """A page, or the server of another API, is named as what it is, with what to give in its place."""
    with other(answer) as address:
        code, out, err = run("--server", f"http://{address}", *model)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert told in err
    assert "base URL, such as http://127.0.0.1:8000/v1" in err
    assert "--model" in err
    assert "<" not in err


@contextmanager
def other(answer: object, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that answers every request in one way."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)  # type: ignore[arg-type]
    with running(lambda: web.AppRunner(application), tls) as address:
        yield address


def test_a_server_that_hangs(run: Run) -> None:
    """What takes connections and never answers is left after --timeout, at most 20 seconds."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        url = f"http://127.0.0.1:{hangs.getsockname()[1]}/v1"
        code, out, err = run("--server", url, "--timeout", "0.3")
    assert (2, "") == (code, out)
    assert f"nothing answers at {url}: no answer within 0.3 seconds\n" in err


def test_certificates(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody vouches for is named, and where to name its authority; so is a server without TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not here")
    make_certificates(tmp_path)
    with other(page, server_context(tmp_path)) as address:
        code, _, err = run("--server", f"https://{address}/v1")
        assert 2 == code
        assert f"the certificate of https://{address}/v1 is not trusted (" in err
        assert "name a file with its authority in the environment variable SSL_CERT_FILE" in err
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        code, _, err = run("--server", f"https://{address}/v1")
        assert (2, True) == (code, "lists no models" in err)
        code, _, err = run("--server", f"http://{address}/v1")
        assert (2, 1) == (code, err.count("\n"))
    with other(page) as address:
        code, _, err = run("--server", f"https://{address}/v1")
        assert (2, True) == (code, "does not speak TLS: does it begin with http://?" in err)


@pytest.mark.parametrize("text", ["no {}", "{}{}", "cut: {0:.12}", "cut: {0:.9}", "{0:.19} and {0}", "*** {}"])
def test_keys_are_struck_out(text: str) -> None:
    """A key that a server repeats is not shown, nor the beginning of it where a report cuts the text."""
    shown = strike_out(text.format(KEY, KEY), KEY)
    assert KEY[:8] not in shown
    assert "***" in shown
    assert text.partition("{")[0] == shown[: len(text.partition("{")[0])]


def test_a_key_that_a_server_repeats(run: Run) -> None:
    """A server that tells the key in its answers does not have it in the report."""

    def repeats(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        if request.method == "GET":
            return handle(request)
        return of_json(400, {"error": {"message": f"{'x' * 230} {request.headers.get('authorization')}"}})

    with strict(repeats) as url:
        code, out, _ = run("--server", url, "--api-key", "env:SERVER_KEY", "--only", "S1", "S7", "--json")
    assert (1, False) == (code, json.loads(out)["ready"])
    assert "Bearer ***" in out
