"""`langplug chat` as a conversation, at a real pseudo-terminal."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, messages_from_dict

from langplug.cli import main
from langplug_backend import Backend

MODELS = Path(__file__).parent / "models.py"
LIMIT_S = 30


def ref(talker: str) -> str:
    return f"{MODELS}:{talker}"


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**inherited, **variables}


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


def test_json_needs_a_question(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is for one question, not for a conversation."""
    assert keyboard.talk("--json") == 2
    assert "langplug: --json needs one question: give it with -p TEXT or on stdin\n" == capsys.readouterr().err


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


@pytest.mark.parametrize("line", ["/set temperature=0.5", "/set temperature = 0.5", "/set temperature 0.5"])
def test_a_parameter_is_set_in_every_form(line: str, keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """`NAME=VALUE`, as on the command line, and `NAME VALUE` set the parameter; `NAME` unsets it."""
    assert keyboard.talk(ref("Strict"), lines=(line, "x", "/set temperature", "x", "/set stop=A=B", "x")) == 0
    shown = capsys.readouterr()
    assert "temperature 0.5 stop []\ntemperature 1.0 stop []\ntemperature 1.0 stop ['B=A']\n" == shown.out
    assert "temperature = 0.5\n" in shown.err


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
@pytest.mark.parametrize(
    ("model", "line", "told"),
    [
        ("Strict", "/set temprature=0", "temprature"),
        ("Strict", "/set temprature 0", "Did you mean 'temperature'?"),
        ("Strict", "/set temperature=hot", "temperature: Input should be a valid number"),
        ("Strict", "/set temperature", "'temperature' is not set: /set temperature VALUE sets it"),
        ("Strict", "/set a-b=1", "cannot be a parameter of a model"),
        ("Strict", "/set top_p=0.5", "(Strict has no 'top_p', and ignores it)"),
        ("Foreign", "/set sise=3", "Foreign has no parameter 'sise', did you mean 'size'?"),
        ("Foreign", "/set size=big", "Input should be a valid integer"),
    ],
)
def test_a_parameter_is_checked_at_once(
    model: str, line: str, told: str, keyboard: Keyboard, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the pen and a wrong value are said when they are typed, and later questions do not fail."""
    assert keyboard.talk(ref(model), lines=(line, "x")) == 0
    shown = capsys.readouterr()
    assert told in shown.err
    assert 1 == len(shown.out.splitlines())


def test_a_wrong_parameter_of_the_command_line(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """A conversation does not begin with a parameter that would fail each question."""
    assert keyboard.talk(ref("Strict"), "--set", "temprature=0") == 2
    assert "Did you mean 'temperature'?" in capsys.readouterr().err


def test_what_is_said_first(keyboard: Keyboard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A conversation begins with the model's name, its class and where it is; of known weights, what they are for."""
    assert keyboard.talk(ref("echo")) == 0
    assert capsys.readouterr().err.startswith("echo (echo)\n/help for help, Ctrl-D to leave\n")
    with Backend(models=["qwen3"]) as backend:
        assert keyboard.talk(backend.openai_url) == 0
        assert capsys.readouterr().err.startswith(f"qwen3 (ChatEndpoint) · {backend.openai_url}\n")
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").touch()
    assert keyboard.talk(f"{tmp_path}/SmolLM2-135M-Instruct.Q4_1.gguf") == 0
    told = capsys.readouterr().err
    assert told.startswith(f"SmolLM2-135M-Instruct.Q4_1 (ChatGGUF) · {tmp_path}")
    assert "Good for demos and tests" in told


def test_a_model_that_ends_the_program(keyboard: Keyboard, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that calls `exit` does not end the conversation."""
    assert keyboard.talk(ref("leaving"), lines=("x", "/help")) == 0
    err = capsys.readouterr().err
    assert "SystemExit" in err
    assert "/retry" in err
    assert keyboard.talk(ref("abandoning"), lines=("x", "/help")) == 0
    assert "/retry" in capsys.readouterr().err


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
    assert "model_name" in answer.response_metadata


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
    assert f"there is no folder '{tmp_path}/none'" in shown.err
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
        termios.tcsetwinsize(slave, (24, 40))
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._AT_A_TERMINAL, "chat", *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**{"TERM": "xterm", **variables}),
            start_new_session=True,
        )
        os.close(slave)
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def type_at_prompt(self, text: str) -> None:
        """As a person does, not in the very microsecond: CPython's `input` misses a Ctrl-C before it begins to wait."""
        self.see("> ")
        time.sleep(0.2)
        self.type(text)

    def see(self, expected: str) -> str:
        """Wait for `expected` after what was seen before; return all up to its end."""
        end = time.monotonic() + LIMIT_S
        while expected not in self._seen:
            assert time.monotonic() < end, f"{expected!r} not in {self._seen!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self._seen += self._read()
        before, _, self._seen = self._seen.partition(expected)
        return before + expected

    def _read(self) -> str:
        try:
            return os.read(self._master, 65536).decode()
        except OSError:  # how a terminal says that nobody is left at its other side
            pytest.fail(f"the process left, after it said {self._seen!r}")

    def leave(self) -> int:
        """Wait for the process and return its exit code."""
        return self._process.wait(LIMIT_S)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture
def open_screen() -> Iterator[Callable[..., Screen]]:
    """Opens screens, and closes them after the test, however it ends."""
    screens: list[Screen] = []

    def open_one(*args: str, **variables: str) -> Screen:
        screens.append(Screen(*args, **variables))
        return screens[-1]

    yield open_one
    for screen in screens:
        screen.close()


def test_ctrl_c_in_a_conversation(open_screen: Callable[..., Screen], tmp_path: Path) -> None:
    """Ctrl-C stops the answer and the model, keeps what was said, and asks for the next line; a second one leaves."""
    stopped, file = tmp_path / "stopped", tmp_path / "talk.md"
    screen = open_screen(ref("endless"), STOPPED=str(stopped))
    screen.type_at_prompt("x\n")
    screen.see("on and on and ")
    screen.type("\x03")
    screen.see("(Ctrl-C again or Ctrl-D leaves)")
    assert stopped.exists()
    screen.type_at_prompt(f"/save {file}\n")
    screen.see("saved 2 messages")
    assert "## Assistant\n\non and on" in file.read_text(encoding="utf-8")
    screen.type_at_prompt("half a line\x03")
    screen.see("(Ctrl-C again or Ctrl-D leaves)")
    screen.type_at_prompt("\x03")
    assert screen.leave() == 0


def test_a_model_cannot_command_the_terminal(open_screen: Callable[..., Screen]) -> None:
    """At a terminal, control characters of an answer are shown as pictures; letters of any script stay letters."""
    screen = open_screen(ref("rude"), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    screen.type_at_prompt("x\n")
    screen.see("␛]0;owned␇é€\r\n")
    screen.type_at_prompt("\x04")
    assert screen.leave() == 0


def test_lines_are_kept_for_the_next_session(open_screen: Callable[..., Screen], tmp_path: Path) -> None:
    """Where LANGPLUG_HISTORY names a file, the arrow keys bring back the lines of the session before."""
    pytest.importorskip("readline", reason="this Python was built without readline")
    history = str(tmp_path / "state" / "history")
    for typed in ("remember me\n", "\x1b[A\n"):
        screen = open_screen(ref("echo"), LANGPLUG_HISTORY=history)
        screen.type_at_prompt(typed)
        screen.see("remember me \r\n")  # with the space that the model says
        screen.type_at_prompt("\x04")
        assert screen.leave() == 0


def test_waiting_is_shown_and_removed(open_screen: Callable[..., Screen], tmp_path: Path) -> None:
    """While nothing comes, a line says so, with the seconds; it is gone before the answer begins."""
    release = tmp_path / "release"
    os.mkfifo(release)
    screen = open_screen(ref("late"), RELEASE=str(release))
    screen.type_at_prompt("x\n")
    first, second = (re.findall(r"waiting for the answer (\d\.\d)", screen.see(" s"))[-1] for _ in "12")
    assert 0.4 <= float(first) < float(second)
    release.write_text("go", encoding="utf-8")
    assert screen.see("here I am\r\n").endswith("\r\x1b[Khere I am\r\n")
    screen.type_at_prompt("\x04")
    assert screen.leave() == 0


def test_nothing_is_redrawn_on_a_dumb_terminal(open_screen: Callable[..., Screen], tmp_path: Path) -> None:
    """A terminal that cannot move its cursor gets neither the line that says so nor broken lines."""
    release = tmp_path / "release"
    os.mkfifo(release)
    screen = open_screen(ref("late"), RELEASE=str(release), TERM="dumb")
    screen.type_at_prompt("x\n")
    time.sleep(0.8)
    release.write_text("go", encoding="utf-8")
    shown = screen.see("here I am\r\n")
    assert "waiting" not in shown
    assert "\x1b[K" not in shown


def test_words_are_not_broken(open_screen: Callable[..., Screen]) -> None:
    """At a terminal, a long line of the answer is broken between words, piece by piece as it comes."""
    screen = open_screen(ref("plain"))
    screen.type_at_prompt("It was the best of times, it was the worst of times.\n")
    screen.see("times.\r\n")  # what was typed, which a busy terminal shows twice
    lines = lines_on_screen(screen.see("\nworst of times.\r\n"))
    assert ["It was the best of times, it was the ", "worst of times."] == lines[-2:]


def lines_on_screen(printed: str) -> list[str]:
    """The lines that a terminal shows of `printed`: its cursor moves left, and lines are cleared to their end."""
    lines, column = [""], 0
    for piece in re.findall(r"\x1b\[[?\d]*[A-Za-z]|.", printed, re.DOTALL):
        if piece == "\n":
            lines.append("")
        elif piece == "\r":
            column = 0
        elif piece.endswith("D") and piece[0] == "\x1b":
            column -= int(piece[2:-1])
        elif piece == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif piece[0] != "\x1b":
            lines[-1] = lines[-1][:column] + piece + lines[-1][column + 1 :]
            column += 1
    return [line for line in lines if line]
