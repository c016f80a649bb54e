"""Coding agents finish real work with a model of five lines; `make test-coding-agents` installs them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.clients.note_taker import note_taker
from tests.serve.served_models import serving

CODEX = shutil.which("codex")
OPENCODE = shutil.which("opencode")
CLAUDE = shutil.which("claude")

CODEX_SETTINGS = """\
model = "page"
model_provider = "langplug"

[model_providers.langplug]
name = "langplug"
base_url = "{url}/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where an agent works."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where an agent has its settings."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def run(*command: str, work: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=work,
        env={**os.environ, "PWD": str(work), "NO_PROXY": "127.0.0.1", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(CODEX is None, reason="Codex CLI is not installed")
def test_codex_finishes_a_task(work: Path, home: Path) -> None:
    """Codex, on the Responses wire, runs the command that the model calls for, and ends with the model's answer."""
    free = "--dangerously-bypass-approvals-and-sandbox"
    with serving({"page": note_taker(shell="exec_command", argument="cmd")}) as url:
        (home / "config.toml").write_text(CODEX_SETTINGS.format(url=url), encoding="utf-8")
        ran = run(str(CODEX), "exec", "--skip-git-repo-check", free, "Take a note.", work=work, CODEX_HOME=str(home))
    assert ran.returncode == 0, ran.stderr
    assert (work / "note.txt").read_text(encoding="utf-8") == "Written by langplug\n"
    assert ran.stdout.strip() == "The note is written."
    assert "A note it is." in ran.stderr  # reasoning is shown


@pytest.mark.skipif(OPENCODE is None, reason="opencode is not installed")
def test_opencode_finishes_a_task(work: Path, home: Path) -> None:
    """opencode, on the wire of chat completions, does the same."""
    with serving({"page": note_taker(shell="bash", argument="command")}) as url:
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": f"{url}/v1", "apiKey": "none"},
            "models": {"page": {}},
        }
        settings = {"provider": {"langplug": provider}, "permission": {"bash": "allow"}, "share": "disabled"}
        (work / "opencode.json").write_text(json.dumps(settings), encoding="utf-8")
        homes = {
            name: str(home / name) for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
        }
        offline = dict.fromkeys(("OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_MODELS_FETCH"), "1")
        command = (str(OPENCODE), "run", "--model", "langplug/page", "Take a note.")
        ran = run(*command, work=work, HOME=str(home), **homes, **offline)
    assert ran.returncode == 0, ran.stderr
    assert (work / "note.txt").read_text(encoding="utf-8") == "Written by langplug\n"
    assert ran.stdout.strip().endswith("The note is written.")


@pytest.mark.skipif(CLAUDE is None, reason="Claude Code is not installed")
def test_claude_code_finishes_a_task(work: Path, home: Path) -> None:
    """Claude Code, on the wire of Messages, does the same."""
    with serving({"page": note_taker(shell="Bash", argument="command")}) as url:
        settings = {
            "HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home),
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        command = (str(CLAUDE), "--print", "Take a note.", "--model", "page", "--allowedTools", "Bash")
        ran = run(*command, work=work, **settings)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (work / "note.txt").read_text(encoding="utf-8") == "Written by langplug\n"
    assert ran.stdout.strip() == "The note is written."
