"""`langplug chat`: one question, and a conversation at a real pseudo-terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, messages_from_dict

from langplug.cli import main

TALKERS = Path(__file__).parent / "talkers.py"
LIMIT_S = 30


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MODEL", "SYSTEM", "HISTORY", "DEBUG"):
        monkeypatch.delenv(f"LANGPLUG_{variable}", raising=False)
    for variable in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)


def ref(talker: str) -> str:
    return f"{TALKERS}:{talker}"


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "langplug", "chat", *args]


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, **variables}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# --- one question ---


def test_stdout_holds_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer goes to stdout with a newline at its end, and nothing goes to stderr."""
    assert main(["chat", ref("echo"), "-p", "good day"]) == 0
    assert ("good day \n", "") == tuple(capsys.readouterr())


def test_an_answer_that_ends_its_line_gets_no_second_newline(capsys: pytest.CaptureFixture[str]) -> None:
    """The newline at the end is added only where there is none."""
    assert main(["chat", ref("plain"), "-p", "line\n"]) == 0
    assert "line\n" == capsys.readouterr().out


def test_the_answer_streams(tmp_path: Path) -> None:
    """What has been said can be read from a pipe while the model still thinks about the rest."""
    release = tmp_path / "release"
    os.mkfifo(release)
    process = subprocess.Popen(
        command(ref("slow_end"), "-p", "x"), stdout=subprocess.PIPE, env=environment(RELEASE=str(release))
    )
    assert process.stdout
    assert b"first " == os.read(process.stdout.fileno(), 100)
    release.write_text("go", encoding="utf-8")
    rest, _ = process.communicate(timeout=LIMIT_S)
    assert (0, b"last\n") == (process.returncode, rest)


def test_the_prompt_comes_from_stdin() -> None:
    """A piped text is the prompt, without a byte order mark and the newline at its end; the answer is UTF-8 too."""
    done = subprocess.run(
        command(ref("listing")),
        input="\ufeffüber\nalles\n".encode(),
        capture_output=True,
        check=True,
        env=environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    )
    assert ("[über\nalles]\n".encode(), b"") == (done.stdout, done.stderr)


def test_a_given_prompt_does_not_wait_for_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `-p`, a pipe at stdin that nobody closes keeps nobody waiting."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as stdin, os.fdopen(writing, "w"):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["chat", ref("echo"), "-p", "hi"]) == 0
    assert "hi \n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        pytest.param(b" \n", "the prompt is empty: give one with -p TEXT or on stdin", id="empty"),
        pytest.param(
            b"ab\xff", "stdin is not UTF-8 text (invalid start byte at byte 2): convert it first", id="binary"
        ),
    ],
)
def test_an_unusable_prompt_is_refused(
    stdin: bytes,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty prompt and one that is not text are wrong use, and no model is made for them."""
    (tmp_path / "stdin").write_bytes(stdin)
    with (tmp_path / "stdin").open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["chat", "no.such:model"]) == 2
    assert f"langplug: {message}\n" == capsys.readouterr().err


def test_reasoning_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What the model thinks is shown on stderr, on lines of its own."""
    assert main(["chat", ref("thinking"), "-p", "x"]) == 0
    assert ("Yes.\n", "thinking: Let me see.\n") == tuple(capsys.readouterr())


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        pytest.param({}, False, id="no terminal"),
        pytest.param({"FORCE_COLOR": "1"}, True, id="FORCE_COLOR"),
        pytest.param({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="NO_COLOR wins"),
    ],
)
def test_colour(
    variables: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Notes are coloured at a terminal and where FORCE_COLOR is set, never where NO_COLOR is; the answer never is."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["chat", ref("thinking"), "-p", "x"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "Yes.\n"
    assert ("\x1b[2mLet me \x1b[0m" in shown.err) is coloured
    assert ("\x1b" in shown.err) is coloured


def test_tool_calls_are_shown_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A tool call is shown whole, with its arguments."""
    assert main(["chat", ref("calling"), "-p", "x"]) == 0
    assert ("Adding. \n", '→ add({"a": 1})\n') == tuple(capsys.readouterr())


def test_stats(capsys: pytest.CaptureFixture[str]) -> None:
    """`--stats` shows reported tokens, times and finish reason on stderr."""
    assert main(["chat", ref("echo"), "-p", "a b c", "--stats"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "a b c \n"
    assert re.fullmatch(
        r"3 tokens in, 5 out \(\d+\.\d tokens/s\) · first after 0\.\d\d s · total 0\.\d\d s · finish: stop\n", shown.err
    )


def test_stats_never_invents_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the model reports no usage, no tokens are counted."""
    assert main(["chat", ref("plain"), "-p", "a b c", "--stats"]) == 0
    assert capsys.readouterr().err.startswith("tokens not reported · ")


def test_stats_of_a_failed_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """The figures of an answer that broke say that it was cut short."""
    assert main(["chat", ref("failing"), "-p", "x", "--stats"]) == 1
    assert "finish: cut short\n" in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one line of JSON that names its schema, and holds text, reasoning, usage and times."""
    assert main(["chat", ref("thinking"), "-p", "x", "--json"]) == 0
    shown = capsys.readouterr()
    assert (1, "") == (shown.out.count("\n"), shown.err)
    report = json.loads(shown.out)
    assert report.pop("total_s") >= report.pop("first_s") >= 0
    assert ["reasoning", "text"] == [block["type"] for block in report.pop("content_blocks")]
    assert {
        "schema": "langplug.chat/1",
        "text": "Yes.",
        "finish_reason": "stop",
        "usage": None,
        "adaptations": [],
        "error": None,
    } == report


def test_json_of_a_failed_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that breaks is still reported as JSON, as far as it came, with the error; the exit code is 1."""
    assert main(["chat", ref("failing"), "-p", "x", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert ("half ", "RuntimeError: the wire is cut") == (report["text"], report["error"])


def test_a_failed_answer_is_shown_as_far_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """What was said before an error stays on stdout, on a line that is ended."""
    assert main(["chat", ref("failing"), "-p", "x"]) == 1
    assert "half \n" == capsys.readouterr().out


def test_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    """`--set` sets parameters of the model, as JSON or as text; `stop` takes one string or a list."""
    assert main(["chat", ref("Strict"), "-p", "x", "--set", "temperature=0.5", "--set", "stop=END"]) == 0
    assert main(["chat", ref("Strict"), "-p", "x", "--set", 'stop=["X1", "X2"]']) == 0
    assert main(["chat", ref("echo"), "-p", "x", "--set", "mark=#"]) == 0
    assert "temperature 0.5 stop ['DNE']\ntemperature 1.0 stop ['1X', '2X']\nx# \n" == capsys.readouterr().out


def test_a_misspelt_parameter_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """What the model says of a parameter that it does not have reaches the person."""
    assert main(["chat", ref("Strict"), "-p", "x", "--set", "temprature=0"]) == 1
    err = capsys.readouterr().err
    assert "temprature" in err
    assert "temperature" in err


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        pytest.param("temperature", "'temperature' is not NAME=VALUE, such as temperature=0", id="no value"),
        pytest.param("a.b=1", "'a.b' cannot be a parameter of a model, expected a name such as temperature", id="name"),
        pytest.param(
            "config=1", "'config' cannot be a parameter of a model, expected a name such as temperature", id="reserved"
        ),
    ],
)
def test_a_wrong_assignment_is_refused(assignment: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A parameter that cannot be one is wrong use."""
    assert main(["chat", ref("echo"), "-p", "x", "--set", assignment]) == 2
    assert f"langplug: {message}\n" == capsys.readouterr().err


def test_flag_before_environment_before_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model and system prompt come from the flag, else from the environment."""
    monkeypatch.setenv("LANGPLUG_MODEL", ref("listing"))
    monkeypatch.setenv("LANGPLUG_SYSTEM", "env")
    assert main(["chat", "-p", "x"]) == 0
    assert main(["chat", "-p", "x", "--system", "flag"]) == 0
    assert main(["chat", "-p", "x", "--system", ""]) == 0
    assert main(["chat", "-p", "x", ref("plain")]) == 0
    assert "<env>[x]\n<flag>[x]\n[x]\nx\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        pytest.param("What is a cat?", "(a question goes with -p)", id="a question"),
        pytest.param("no_such_module:model", "no module 'no_such_module'", id="no module"),
        pytest.param(f"{TALKERS}:ehco", "did you mean 'echo'?", id="misspelt"),
    ],
)
def test_a_reference_that_leads_nowhere_is_wrong_use(
    reference: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reference that leads to no model exits with 2 and says why."""
    assert main(["chat", reference, "-p", "x"]) == 2
    err = capsys.readouterr().err
    assert hint in err
    assert err.count("\n") == 1


def test_json_needs_a_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keyboard: "Keyboard"
) -> None:
    """`--json` is for one question, not for a conversation."""
    assert keyboard.talk("--json") == 2
    assert "langplug: --json needs one question: give it with -p TEXT or on stdin\n" == capsys.readouterr().err


def test_a_reader_that_leaves_stops_the_model_quietly(tmp_path: Path) -> None:
    """`langplug chat ... | head -c 3` stops the model, complains of nothing and exits with 0."""
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        command(ref("endless"), "-p", "x"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(STOPPED=str(stopped)),
    )
    assert process.stdout
    assert b"on " == os.read(process.stdout.fileno(), 3)
    process.stdout.close()
    _, err = process.communicate(timeout=LIMIT_S)
    assert (0, b"") == (process.returncode, err)
    assert stopped.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_an_error() -> None:
    """An answer that cannot be written exits with 1 and says why."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(ref("echo"), "-p", "x"), stdout=full, stderr=subprocess.PIPE, check=False)
    message = "langplug: the answer cannot be written to stdout: No space left on device (--debug shows where)\n"
    assert (1, message) == (done.returncode, done.stderr.decode())


def test_ctrl_c_stops_the_answer_and_the_model(tmp_path: Path) -> None:
    """Ctrl-C closes the model's stream, ends the line, and exits with 130 without a word."""
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        command(ref("endless"), "-p", "x"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(STOPPED=str(stopped)),
    )
    assert process.stdout
    first = os.read(process.stdout.fileno(), 3)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=LIMIT_S)
    assert (130, b"") == (process.returncode, err)
    assert re.fullmatch(rb"(on and )+\n", first + rest)
    assert stopped.exists()


# --- a conversation, its lines typed at a real terminal, its output captured ---


class Keyboard:
    """A terminal to type at; stdout and stderr are none."""

    def __init__(self, master: int) -> None:
        self._master = master

    def talk(self, *args: str, lines: tuple[str, ...] = (), end: str = "\x04") -> int:
        """Type `lines`, then Ctrl-D, at `langplug chat ARGS`; return its exit code."""
        os.write(self._master, "".join(f"{line}\n" for line in lines).encode() + end.encode())
        return main(["chat", *args])


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyboard]:
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    with os.fdopen(slave, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield Keyboard(master)
    os.close(master)


def test_the_conversation_is_remembered(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """Each prompt is asked with all that was said before; stdout holds the answers alone; Ctrl-D leaves with 0."""
    assert keyboard.talk(ref("listing"), "--system", "S", lines=("one", "", "two")) == 0
    assert "<S>[one]\n<S>[one][<S>[one]][two]\n" == capsys.readouterr().out


def test_help_lists_the_commands(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`/help` lists each command, on stderr."""
    assert keyboard.talk(ref("echo"), lines=("/help",)) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    commands = ["help", "system", "set", "retry", "undo", "reset", "save", "save!", "stats", "quit"]
    assert commands == re.findall(r"^(?:> )?  /(\S+) ", shown.err, re.MULTILINE)


def test_an_unknown_command_suggests(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is none is not sent to the model; begun with a space it is."""
    assert keyboard.talk(ref("echo"), lines=("/sytem x", " /sytem x")) == 0
    shown = capsys.readouterr()
    assert "/sytem x \n" == shown.out
    assert (
        "langplug: unknown command '/sytem', did you mean '/system'? (to send it as a message, begin with a space)\n"
        in shown.err
    )


def test_messages_of_several_lines(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """A backslash at its end continues a line; three quotes begin and end a block, which keeps its backslashes."""
    block = ('"""b1', "", "b3\\", 'b4"""')
    assert keyboard.talk(ref("plain"), lines=("a1\\", "a2\\", "a3", *block, '"""one line"""')) == 0
    assert "a1\na2\na3\nb1\n\nb3\\\nb4\none line\n" == capsys.readouterr().out


def test_the_system_prompt_can_be_changed(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`/system` shows the system prompt, `/system TEXT` sets it, `/system ""` removes it."""
    lines = ("/system", "/system be brief", "x", "/reset", '/system ""', "y")
    assert keyboard.talk(ref("listing"), lines=lines) == 0
    shown = capsys.readouterr()
    assert "<be brief>[x]\n[y]\n" == shown.out
    assert ["(none)", "be brief", "(none)"] == re.findall(r"system: (.*)", shown.err)


def test_parameters_can_be_changed(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`/set NAME VALUE` sets a parameter of the next calls, `/set NAME` unsets it, `/set` shows them."""
    lines = ("/set temperature 0.25", "x", "/set stop END", "/set", "/set temperature", "x", "/set a-b 1")
    assert keyboard.talk(ref("Strict"), "--set", "temperature=2", lines=lines) == 0
    shown = capsys.readouterr()
    assert "temperature 0.25 stop []\ntemperature 1.0 stop ['DNE']\n" == shown.out
    assert 'temperature = 0.25\nstop = "END"\n' in shown.err
    assert "langplug: 'a-b' cannot be a parameter of a model" in shown.err


def test_undo_and_reset(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`/undo` forgets the last turn, `/reset` forgets all of them."""
    lines = ("one", "two", "/undo", "three", "/reset", "four", "/undo", "/undo")
    assert keyboard.talk(ref("listing"), lines=lines) == 0
    shown = capsys.readouterr()
    assert ["[one]", "[one][[one]][two]", "[one][[one]][three]", "[four]"] == shown.out.splitlines()
    assert "(forgotten: two)\n" in shown.err
    assert "(nothing to undo)\n" in shown.err


def test_retry_asks_again(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`/retry` asks the last prompt again in place of its answer, one that failed too."""
    lines = ("/retry", "behave", "/retry", "break", "/retry", "/save!")
    assert keyboard.talk(ref("failing"), lines=lines) == 0
    shown = capsys.readouterr()
    assert ["half and whole"] * 2 + ["half "] * 2 == shown.out.splitlines()
    assert "langplug: nothing has been asked yet\n" in shown.err
    assert shown.err.count("langplug: RuntimeError: the wire is cut\n") == 2


def test_a_failed_turn_is_not_remembered(
    keyboard: Keyboard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an error the conversation goes on as if the prompt had not been given."""
    file = tmp_path / "talk.md"
    assert keyboard.talk(ref("failing"), lines=("behave", "break", f"/save {file}")) == 0
    assert "## User\n\nbehave\n\n## Assistant\n\nhalf and whole\n" == file.read_text(encoding="utf-8")


def test_save_and_continue(keyboard: Keyboard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A conversation saved as JSON holds every message with its metadata, and `--continue` goes on with it."""
    file = tmp_path / "talk.json"
    assert keyboard.talk(ref("listing"), "--system", "S", lines=("öne", f"/save {file}")) == 0
    assert main(["chat", ref("listing"), "--continue", str(file), "-p", "two"]) == 0
    assert main(["chat", ref("listing"), "--continue", str(file), "--system", "T", "-p", "two"]) == 0
    assert ["<S>[öne]", "<S>[öne][<S>[öne]][two]", "<T>[öne][<S>[öne]][two]"] == capsys.readouterr().out.splitlines()
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert saved["schema"] == "langplug.conversation/1"
    _, question, answer = messages_from_dict(saved["messages"])
    assert isinstance(question, HumanMessage)
    assert isinstance(answer, AIMessage)
    assert "stop" == answer.response_metadata["finish_reason"]


def test_save_overwrites_only_when_told(keyboard: Keyboard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`/save` leaves a file alone that is there already; `/save!` writes over it and leaves nothing beside it."""
    file = tmp_path / "talk.json"
    file.write_text("mine", encoding="utf-8")
    assert keyboard.talk(ref("echo"), lines=("x", f"/save {file}")) == 0
    assert f"langplug: '{file}' is there already: '/save! {file}' writes over it\n" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "mine"
    assert keyboard.talk(ref("echo"), lines=("x", f"/save! {file}")) == 0
    assert len(json.loads(file.read_text(encoding="utf-8"))["messages"]) == 2
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(
            "/save", "name a file: /save talk.json (--continue goes on with it) or /save talk.md", id="no name"
        ),
        pytest.param(
            "/save talk.txt",
            "cannot tell the format of 'talk.txt': end it in .json (can be continued) or .md",
            id="format",
        ),
        pytest.param("/stats maybe", "/stats takes on, off or nothing, not 'maybe'", id="stats"),
    ],
)
def test_a_command_used_wrongly_says_so(
    line: str, message: str, keyboard: Keyboard, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that cannot work with what it was given says what it needs, and the conversation goes on."""
    assert keyboard.talk(ref("plain"), lines=(line, "still here")) == 0
    shown = capsys.readouterr()
    assert "still here\n" == shown.out
    assert f"langplug: {message}\n" in shown.err


def test_saving_where_nothing_can_be_written(
    keyboard: Keyboard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be written is an error of one line, and the conversation goes on."""
    assert keyboard.talk(ref("plain"), lines=(f"/save {tmp_path}/none/talk.md", "still here")) == 0
    shown = capsys.readouterr()
    assert "still here\n" == shown.out
    assert "No such file or directory" in shown.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot read {file!r}: No such file or directory", id="missing"),
        pytest.param("## User", "{file!r} is not JSON: give a conversation that /save wrote as .json", id="markdown"),
        pytest.param(
            "[1]",
            "{file!r} is not a saved conversation: its schema is None, expected 'langplug.conversation/1'",
            id="other JSON",
        ),
    ],
)
def test_only_a_saved_conversation_can_be_continued(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--continue` of anything else is wrong use."""
    file = tmp_path / "talk.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert main(["chat", ref("echo"), "--continue", str(file), "-p", "x"]) == 2
    assert f"langplug: {message.format(file=str(file))}\n" == capsys.readouterr().err


def test_stats_of_a_conversation(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`/stats` shows the figures of the last answer, `/stats on` those of each."""
    assert keyboard.talk(ref("echo"), lines=("/stats", "x", "/stats", "y", "/stats on", "z", "/stats off", "z")) == 0
    err = capsys.readouterr().err
    assert "(no answer yet)\n" in err
    assert err.count("3 tokens in, 5 out") == 4


def test_quit_leaves(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`/quit` leaves with 0, whatever is typed after it."""
    assert keyboard.talk(ref("plain"), lines=("/quit", "more")) == 0
    assert "" == capsys.readouterr().out


# --- a conversation in a real process, all of it at a terminal ---


class Screen:
    """A process at a pseudo-terminal that is its controlling one, so that Ctrl-C reaches it as a signal."""

    _AT_A_TERMINAL = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from langplug.cli import main; sys.exit(main(sys.argv[1:]))"
    )

    def __init__(self, *args: str, **variables: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._AT_A_TERMINAL, "chat", *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(TERM="xterm", **variables),
            start_new_session=True,
        )
        os.close(slave)
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def see(self, expected: str) -> str:
        """Wait for `expected` after what was seen before; return all up to its end."""
        end = time.monotonic() + LIMIT_S
        while expected not in self._seen:
            assert time.monotonic() < end, f"{expected!r} not in {self._seen!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self._seen += os.read(self._master, 65536).decode()
        before, _, self._seen = self._seen.partition(expected)
        return before + expected

    def leave(self) -> int:
        """Wait for the process and return its exit code."""
        code = self._process.wait(LIMIT_S)
        os.close(self._master)
        return code


def test_ctrl_c_in_a_conversation(tmp_path: Path) -> None:
    """Ctrl-C stops the answer and the model, keeps what was said, and asks for the next line; a second one leaves."""
    stopped, file = tmp_path / "stopped", tmp_path / "talk.md"
    screen = Screen(ref("endless"), STOPPED=str(stopped))
    screen.see("> ")
    screen.type("x\n")
    screen.see("on and on and ")
    screen.type("\x03")
    screen.see("(Ctrl-C again or Ctrl-D leaves)")
    screen.see("> ")
    assert stopped.exists()
    screen.type(f"/save {file}\n")
    screen.see("saved 2 messages")
    assert "## Assistant\n\non and on" in file.read_text(encoding="utf-8")
    screen.see("> ")
    screen.type("half a line\x03")
    screen.see("(Ctrl-C again or Ctrl-D leaves)")
    screen.see("> ")
    screen.type("\x03")
    assert screen.leave() == 0


def test_a_model_cannot_command_the_terminal() -> None:
    """At a terminal, control characters of an answer are shown as pictures; letters of any script stay letters."""
    screen = Screen(ref("rude"), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    screen.see("> ")
    screen.type("x\n")
    screen.see("␛]0;owned␇é€\r\n")
    screen.see("> ")
    screen.type("\x04")
    assert screen.leave() == 0


def test_lines_are_kept_for_the_next_session(tmp_path: Path) -> None:
    """Where LANGPLUG_HISTORY names a file, the arrow keys bring back the lines of the session before."""
    pytest.importorskip("readline", reason="this Python was built without readline")
    history = str(tmp_path / "state" / "history")
    for typed in ("remember me\n", "\x1b[A\n"):
        screen = Screen(ref("echo"), LANGPLUG_HISTORY=history)
        screen.see("> ")
        screen.type(typed)
        screen.see("remember me \r\n")  # with the space that the model says
        screen.see("> ")
        screen.type("\x04")
        assert screen.leave() == 0
