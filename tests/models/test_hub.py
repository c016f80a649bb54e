"""`langplug pull hf:owner/name`, from a server on loopback that speaks the hub's API, well and badly."""

import hashlib
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest

from langplug.cli import main
from langplug.models.gguf.hub import pull_repository, repository_of
from langplug.models.gguf.weights import PullError

CONTENT = b"GGUF" + bytes(range(256)) * 5_000
SLOW = pytest.mark.thorough("huggingface_hub tries for 25 seconds")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository, `owner/model`."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}
    faults: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[tuple[str, str, str | None]]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append((self.command, path, self.headers.get("Range")))
        if "status" in self.faults:
            self.refuse(*self.faults["status"])
        elif path.startswith("/api/models/owner/model"):
            tree = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in self.files.items()]
            known = {"id": "owner/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
            self.send(json.dumps(tree if "/tree/" in path else known).encode(), {})
        elif self.faults.get("moved") and not path.startswith("/cdn/"):
            self.send(b"", {"Location": f"/cdn{path}"}, 307)
        elif (name := path.partition("/resolve/")[2].partition("/")[2]) not in self.files:
            self.refuse(404, "EntryNotFound")
        else:
            self.send_file(name)

    def send_file(self, name: str) -> None:
        data = self.files[name]
        digest = self.faults.get("sha256") or hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{digest}"'}
        headers["X-Linked-Size"] = str(len(data) + self.faults.get("size", 0))
        self.send(data, headers)

    def send(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
        wanted = self.headers.get("Range")
        if wanted and self.command == "GET" and not self.faults.get("no_ranges"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers |= {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            data, status = data[start:], 206
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data)), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if (breaks := self.faults.get("breaks")) and "/resolve/" in self.path:
            self.faults["breaks"] = breaks - 1
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self.wfile.write(data)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def name_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Set HF_ENDPOINT, which huggingface_hub reads when it is imported."""
    monkeypatch.setenv("HF_ENDPOINT", address)
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    """The server, named as users name theirs."""
    pytest.importorskip("huggingface_hub")
    Hub.files, Hub.faults, Hub.asked = {"model-Q4.gguf": CONTENT, "README.md": b"# Model"}, {}, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    name_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("LANGPLUG_CACHE", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield Hub
    server.shutdown()
    thread.join()
    server.server_close()


def gets(hub: type[Hub]) -> list[str | None]:
    """The ranges of the downloads."""
    return [asked for method, path, asked in hub.asked if method == "GET" and "/resolve/" in path]


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("hf:owner/model", ("owner/model", None)),
        ("https://hub.test/owner/model", ("owner/model", None)),
        ("https://hub.test/owner/model/", ("owner/model", None)),
        ("https://hub.test/owner/model/resolve/main/a/b.gguf", ("owner/model", "a/b.gguf")),
        ("https://hub.test/owner/model/blob/main/b.gguf?download=true", ("owner/model", "b.gguf")),
        ("smollm2", None),
        ("owner/model", None),
        ("hf:owner", None),
    ],
)
def test_what_a_reference_means(reference: str, meant: tuple[str, str | None] | None) -> None:
    """A repository is named by `hf:` or by the address of it or of its file; nothing else is one."""
    assert meant == repository_of(reference)


def test_the_only_gguf_file(hub: type[Hub], capsys: pytest.CaptureFixture[str]) -> None:
    """The only GGUF file of a repository is downloaded, and its path alone is on stdout; a second pull asks only."""
    assert main(["pull", "hf:owner/model"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert ("model-Q4.gguf", CONTENT) == (path.name, path.read_bytes())
    assert main(["pull", "hf:owner/model"]) == 0
    assert 1 == len(gets(hub))
    assert main(["pull", "hf:owner/model", "--force"]) == 0
    assert 2 == len(gets(hub))


def test_a_choice(hub: type[Hub], capsys: pytest.CaptureFixture[str]) -> None:
    """Where there are several, they are listed and --file chooses; a near name is suggested; an mmproj is no model."""
    hub.files |= {"model-Q8.gguf": b"GGUF8", "mmproj-model.gguf": b"GGUFm"}
    assert main(["pull", "hf:owner/model"]) == 1
    assert "has 2 GGUF files. Choose one with --file" in capsys.readouterr().err
    assert main(["pull", "hf:owner/model", "--file", "model-Q8.guf"]) == 1
    assert "did you mean 'model-Q8.gguf'?" in capsys.readouterr().err
    assert b"GGUF8" == pull_repository("owner/model", "model-Q8.gguf").read_bytes()


def test_a_split_file(hub: type[Hub]) -> None:
    """Of a split file the first part is given, and all parts are there."""
    hub.files = {f"m-0000{number}-of-00003.gguf": b"GGUF%d" % number for number in (1, 2, 3)}
    path = pull_repository("owner/model")
    assert ("m-00001-of-00003.gguf", 3) == (path.name, len(list(path.parent.glob("*.gguf"))))


def test_a_folder_for_transformers(hub: type[Hub]) -> None:
    """Without a GGUF file, the folder that transformers reads is brought, and not the same weights in other formats."""
    hub.files = {"config.json": b"{}", "model.safetensors": b"S", "pytorch_model.bin": b"B", "tokenizer.json": b"{}"}
    folder = pull_repository("owner/model")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {one.name for one in folder.iterdir()}
    assert not (folder / "pytorch_model.bin").exists()


def test_a_download_that_breaks_off_goes_on(hub: type[Hub]) -> None:
    """What breaks off is taken up where it was left, and is right in the end."""
    content = b"GGUF" + bytes(30_000_000)  # it is written in pieces of 10 MB
    hub.files["model-Q4.gguf"] = content
    hub.faults["breaks"] = 1
    said: list[str] = []
    for _ in range(4):
        try:
            path = pull_repository("owner/model")
            break
        except PullError as error:
            said.append(str(error))
    assert content == path.read_bytes()
    assert all("goes on from there" in one or "Run the command again" in one for one in said)
    assert any(asked is not None for asked in gets(hub))


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"sha256": "0" * 64}, "is something else: its sha256 is"),
        ({"size": 5}, "could not be downloaded"),
        ({"size": -5}, "could not be downloaded"),
        ({"status": (404, "RepoNotFound")}, "There is no repository 'owner/model' for you"),
        ({"status": (401, "RepoNotFound")}, "There is no repository 'owner/model' for you"),
        ({"status": (403, "GatedRepo")}, "accept its terms.*HF_TOKEN"),
        pytest.param({"status": (500, "")}, "could not be downloaded", marks=SLOW),
    ],
)
def test_what_goes_wrong_is_said(hub: type[Hub], faults: dict[str, Any], says: str, tmp_path: Path) -> None:
    """A wrong checksum or size, a missing, private or gated repository, a failing server: a sentence, and no file."""
    hub.faults.update(faults)
    with pytest.raises(PullError, match=says):
        pull_repository("owner/model")
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_redirect_is_followed(hub: type[Hub]) -> None:
    """A server that sends downloads elsewhere on itself is followed."""
    hub.faults["moved"] = True
    assert CONTENT == pull_repository("owner/model").read_bytes()
    assert any(path.startswith("/cdn/") for _, path, _ in hub.asked)


@SLOW
def test_offline(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the error says which file to copy where."""
    name_endpoint(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(PullError, match=r"Without the network, copy the file to '.*owner--model.weights\.gguf'"):
        pull_repository("owner/model")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without huggingface_hub the error names the extra, and the way without it."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(PullError, match=r"pip install 'langplug\[hub\]'"):
        pull_repository("owner/model")


def test_file_is_for_repositories(capsys: pytest.CaptureFixture[str]) -> None:
    """--file beside a name is wrong use."""
    assert main(["pull", "smollm2", "--file", "x.gguf"]) == 2
    assert "--file is for a Hugging Face repository" in capsys.readouterr().err
