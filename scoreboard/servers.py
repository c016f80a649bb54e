"""Checks servers that speak OpenAI's Chat Completions, langplug's first.

It writes `docs/en/reference/scoreboard-servers.md`.

    python scoreboard/servers.py [--only NAME ...]

Each other server runs in an environment of its own (`make scoreboard-servers` brings them), and no network is needed.
What was found is kept in `scoreboard/found-servers.json`, so that `--only` renews some columns and leaves the others.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langplug_check import check_server
from langplug_check.servers.opening import open_server
from langplug_check.servers.statement import GROUPS, all_server_checks

HERE = Path(__file__).parent
ROOT = HERE.parent
FOUND = HERE / "found-servers.json"
PAGE = ROOT / "docs" / "en" / "reference" / "scoreboard-servers.md"

SIGNS = {"pass": "✓", "fail": "✗", "not applicable": "–", "not observed": "?", "advisory": "!", "partly observed": "◐"}
KEY = "sk-scoreboard-0123456789"
READY_S = 120.0
LEAVE_S = 10.0

Found = dict[str, Any]
"""What `Report.to_json` gives of one server, with its version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One column.

    Attributes:
        command: What starts it, given the port, and a folder for what it needs besides.
        about: What it serves, and how, for the page.
        package: Whose version is told; empty for langplug.
        environment: The folder of the virtual environment that it runs in. Default: this one.
        model: The model that is asked.
        key: The key that it wants; empty if it has none.
        behind: The name of the server that it passes requests to.
        variables: Environment variables for it.
    """

    command: Callable[[int, Path], Sequence[str]]
    about: str
    package: str = ""
    environment: str = ".venv"
    model: str = "scripted"
    key: str = ""
    behind: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return sys.executable if self.environment == ".venv" else str(ROOT / self.environment / "bin" / "python")


def serve(alias: str) -> Callable[[int, Path], Sequence[str]]:
    """`langplug serve` with one model."""
    return lambda port, _: ["-m", "langplug", "serve", "--alias", alias, "--port", str(port)]


def llama(port: int, _: Path) -> Sequence[str]:
    """llama.cpp's server with the embedded model."""
    return [str(HERE / "served" / "llama_app.py"), str(weights()), str(port), KEY]


def das(port: int, folder: Path) -> Sequence[str]:
    """dasLLAMA's server with the same weights, written anew as it reads them."""
    program = ROOT / "tests" / "models" / "endpoint_real" / "requantize.py"
    q8 = folder / "smollm2.gguf"
    python = ENTRIES["dasLLAMA"].python
    subprocess.run([python, str(program), str(weights()), str(q8)], check=True)
    options = ["--ctx", "2048", "-s", "4", "-t", "1", "--gpu", "off"]
    return [str(Path(python).with_name("dasllama-server")), "-m", str(q8), "-p", str(port), *options]


def litellm(port: int, folder: Path) -> Sequence[str]:
    """LiteLLM's proxy before the server that listens one port lower."""
    parameters = {"model": "openai/scripted", "api_base": f"http://127.0.0.1:{port - 1}/v1", "api_key": KEY}
    config = {"model_list": [{"model_name": "scripted", "litellm_params": parameters}]}
    (folder / "config.yaml").write_text(json.dumps({**config, "general_settings": {"master_key": KEY}}))
    program = Path(ENTRIES["LiteLLM's proxy"].python).with_name("litellm")
    return [str(program), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]


def weights() -> Path:
    """The embedded model's."""
    from langplug.models.gguf.weights import SMOLLM2, find, pull

    return find(SMOLLM2) or pull(SMOLLM2)


ENTRIES: Mapping[str, Entry] = {
    "langplug serve": Entry(
        command=serve(f"scripted={HERE / 'served' / 'scripted.py'}:scripted"),
        about="the scripted model",
        key=KEY,
        variables={"LANGPLUG_SERVE_API_KEY": KEY},
    ),
    "langplug serve, SmolLM2": Entry(
        command=serve("smollm2=langplug.models:ChatGGUF"), about="SmolLM2-135M-Instruct by `ChatGGUF`", model="smollm2"
    ),
    "llama.cpp's server": Entry(
        command=llama,
        about="SmolLM2-135M-Instruct; the server is built into xllamacpp",
        package="xllamacpp",
        model="smollm2",
        key=KEY,
    ),
    "dasLLAMA": Entry(
        command=das,
        about="SmolLM2-135M-Instruct",
        package="dasllama",
        environment=".venv-servers-dasllama",
        model="smollm2.gguf",
    ),
    "LiteLLM's proxy": Entry(
        command=litellm,
        about="`langplug serve` with the scripted model, behind it",
        package="litellm",
        environment=".venv-servers-litellm",
        key=KEY,
        behind="langplug serve",
        variables={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"},
    ),
    "LitServe": Entry(
        command=lambda port, _: [str(HERE / "served" / "litserve_app.py"), str(port)],
        about="the scripted model, in an API with `OpenAISpec`",
        package="litserve",
        environment=".venv-servers-litserve",
    ),
    "langgraph-openai-serve": Entry(
        command=lambda port, _: [str(HERE / "served" / "langgraph_app.py"), str(port)],
        about="the scripted model, in a graph of one node",
        package="langgraph-openai-serve",
        environment=".venv-servers-langgraph",
    ),
}
"""langplug's first, then other people's."""

OURS = tuple(ENTRIES)[:2]
"""Those that must show no failure."""


def checked(name: str, only: Sequence[str] = ()) -> Found:
    """Start a server, check it, and stop it."""
    entry, began = ENTRIES[name], time.monotonic()
    with ExitStack() as stack:
        port = free_port()
        if entry.behind:
            stack.enter_context(running(ENTRIES[entry.behind], port - 1))
        url = stack.enter_context(running(entry, port))
        found: Found = json.loads(check_server(url, model=entry.model, key=entry.key, only=only).to_json())
    found["version"] = version(entry)
    ids = [one["id"] for one in failures(found)]
    sys.stderr.write(f"{name}: {len(ids)} not kept, {time.monotonic() - began:.0f} s: {', '.join(ids)}\n")
    return found


def failures(found: Found) -> list[Found]:
    """What was not kept."""
    return [one for one in found["results"] if one["verdict"] == "fail"]


def free_port() -> int:
    """A port that nobody listens at, nor at the one before it."""
    while True:
        with socket.socket() as one, socket.socket() as before:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                before.bind(("127.0.0.1", port - 1))
            except OSError:
                continue
            return port


@contextmanager
def running(entry: Entry, port: int) -> Iterator[str]:
    """A server until the block ends; gives its base URL once it answers.

    Raises:
        SystemExit: If it does not come up.
    """
    url = f"http://127.0.0.1:{port}/v1"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE, ROOT / "src", ROOT))), **entry.variables}
    with TemporaryDirectory() as name, (Path(name) / "log").open("w+b") as log:
        program = [entry.python, *entry.command(port, Path(name))]
        program = program[1:] if os.access(program[1], os.X_OK) else program  # a program of its own, no script
        with subprocess.Popen(
            program,
            env=environment,
            cwd=name,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # with all that it starts itself
        ) as process:
            try:
                if not comes_up(process, url, entry):
                    log.seek(0)
                    said = log.read().decode("utf-8", "replace")[-3000:]
                    raise SystemExit(f"{' '.join(program)} does not come up:\n{said}")
                yield url
            finally:
                stop(process)


def comes_up(process: "subprocess.Popen[bytes]", url: str, entry: Entry) -> bool:
    """Whether a server answers a plain question in time."""
    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        try:
            open_server(url, model=entry.model, key=entry.key)
        except ValueError:
            time.sleep(0.3)
        else:
            return True
    return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server with all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(LEAVE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def version(entry: Entry) -> str:
    """The version of what was checked."""
    asks = f"import importlib.metadata as m; print(m.version({entry.package or 'langplug'!r}))"
    done = subprocess.run([entry.python, "-c", asks], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


# --- the page ---


def page(everything: Mapping[str, Found]) -> str:
    """The scoreboard as Markdown."""
    return "\n".join([*_head(everything), "", *_groups(everything), "", *_statements(everything), ""])


def _head(everything: Mapping[str, Found]) -> Iterator[str]:
    yield "# The scoreboard of servers"
    yield ""
    yield f"The {len(all_server_checks())} statements about servers that speak OpenAI's Chat Completions, as"
    yield "`langplug check --server URL` finds them kept. This page is written by `make scoreboard-servers`."
    yield "What a statement looks for, and how to fix it, is told by `langplug check --explain S22`."
    yield ""
    yield "✓ kept · ✗ not kept · ! could be better · – says nothing of such a server · ? could not be seen ·"
    yield "◐ kept, as far as could be seen"
    yield ""
    yield "The scripted model does what the statements ask for, one question at a time. SmolLM2, which is small,"
    yield "calls no tools and repeats little of what it is told: what needs that could not be seen there. Servers"
    yield "that can have a key have one."
    yield ""
    yield "| server | version | it serves | kept | not kept | could be better | not applicable | not seen |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, found in everything.items():
        verdicts = [result["verdict"] for result in found["results"]]
        kept = verdicts.count("pass") + verdicts.count("partly observed")
        others = [verdicts.count(one) for one in ("fail", "advisory", "not applicable", "not observed")]
        shown = f"**{name}**" if name in OURS else name
        counts = " | ".join(map(str, (kept, *others)))
        yield f"| {shown} | {found['version']} | {ENTRIES[name].about} | {counts} |"


def _groups(everything: Mapping[str, Found]) -> Iterator[str]:
    """How many statements of each group are not kept."""
    yield "## What is not kept, by group"
    yield ""
    yield "| | " + " | ".join(everything) + " |"
    yield "|---|" + "---|" * len(everything)
    for letter, group in GROUPS.items():
        row = [
            ", ".join(
                one["id"] for one in found["results"] if one["verdict"] == "fail" and one["id"].startswith(letter)
            )
            for found in everything.values()
        ]
        yield f"| {letter} {group.title} | {' | '.join(ids or '–' for ids in row)} |"


def _statements(everything: Mapping[str, Found]) -> Iterator[str]:
    yield "## Statement by statement"
    yield ""
    yield "| | statement | " + " | ".join(everything) + " |"
    yield "|---|---|" + "---|" * len(everything)
    columns = [{one["id"]: SIGNS[one["verdict"]] for one in found["results"]} for found in everything.values()]
    for check in all_server_checks().values():
        signs = " | ".join(column.get(check.id, "") for column in columns)
        yield f"| {check.id} | {check.statement.replace('|', chr(92) + '|')} | {signs} |"


def main() -> int:
    """Check what is asked for, write the page, and say whether a server of langplug's failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ENTRIES, help="renew these columns alone")
    arguments = parser.parse_args()
    known: dict[str, Found] = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    for name in arguments.only or ENTRIES:
        known[name] = checked(name)
        FOUND.write_text(json.dumps(known), encoding="utf-8")
    everything = {name: known[name] for name in ENTRIES if name in known}
    PAGE.write_text(page(everything), encoding="utf-8")
    failed = [name for name in OURS if name in everything and everything[name]["counts"]["fail"]]
    if failed:
        sys.stderr.write(f"langplug's own servers that failed: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
