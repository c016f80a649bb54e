"""`ChatCommand` with real programs: what they are given, what becomes of what they write, and what can go wrong."""

import json
import pickle
import sys
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ContextOverflowError, ModelError, ModelNotFoundError
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import SecretStr, ValidationError
from tests import paths as ways
from tests.callers import add

from langplug import IncompleteAnswerError, MissingSecretError, Request, UnsupportedError, env
from langplug._stream.paths import UnreadableAnswerError
from langplug.models import ChatCommand
from langplug.models.command.input import scrub
from langplug.models.command.model import (
    CommandBrokeOffError,
    CommandFailedError,
    CommandNotExecutableError,
    CommandNotFoundError,
    InvalidInputError,
)
from langplug.models.command.output import JsonOutputReader, OutputReader, TextOutputReader, read_paths

CONVERSATION = [SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage("Hello."), HumanMessage("And now?")]


@pytest.fixture(params=list(ways.PATHS))
def call(request: pytest.FixtureRequest) -> ways.Path:
    """Each path to an answer in turn."""
    return ways.PATHS[request.param]


def shell(script: str, **settings: Any) -> ChatCommand:
    """A program of a few lines of shell; what comes on its stdin is the last message."""
    return ChatCommand(
        **{"command": ["sh", "-c", "{script}"], "params": {"script": script}, "input": "text"} | settings
    )


def said(model: ChatCommand, given: Any = "hello", **kwargs: Any) -> str:
    return model.invoke(given, **kwargs).text


# --- what the program is given ---


def test_stdin_to_stdout_on_each_path(call: ways.Path) -> None:
    """What is asked reaches the program on its stdin, and what it writes is the answer, whole, on each path."""
    answered = call(ChatCommand(command=["cat"], input="text"), "Grüße 👩‍🚀\0\n\nend")
    assert "Grüße 👩‍🚀\0\n\nend" == answered.text == answered.message.text
    metadata = answered.message.response_metadata
    assert ("cat", "command") == (metadata["model_name"], metadata["model_provider"])
    assert "finish_reason" not in metadata  # nobody said one


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("prompt", "System: Be brief.\nHuman: Hi\nAI: Hello.\nHuman: And now?\nAI:"),
        ("auto", "System: Be brief.\nHuman: Hi\nAI: Hello.\nHuman: And now?\nAI:"),
        (None, ""),
    ],
)
def test_the_conversation_as_one_text(kind: Any, expected: str) -> None:
    """The prompt is the whole conversation; without an input, stdin is empty."""
    assert expected == said(ChatCommand(command=["cat"], input=kind), CONVERSATION)


def test_another_template() -> None:
    """The conversation is written as the template has it."""
    assert "<|im_start|>user\nhello<|im_end|>" in said(ChatCommand(command=["cat"], template="chatml"))


def test_the_conversation_as_json() -> None:
    """`messages` gives OpenAI messages, and `request` an object with all that the call brings."""
    messages = json.loads(said(ChatCommand(command=["cat"], input="messages"), CONVERSATION))
    assert ["system", "user", "assistant", "user"] == [message["role"] for message in messages]
    model = ChatCommand(command=["cat"], input="request", model="m1", params={"depth": 2, "none": None})
    given = json.loads(said(model, CONVERSATION, stop=["a\nb"]))
    assert messages == given.pop("messages")
    assert {"stream": False, "model": "m1", "stop": ["a\nb"], "params": {"depth": 2}} == given


class Native(ChatCommand):
    """Calls tools by itself, and has a parameter of its own."""

    tool_calling = "native"
    temperature: float | None = None
    api_key: SecretStr = SecretStr("sk-of-the-subclass")


def test_tools_and_schema_reach_a_native_program() -> None:
    """A subclass that says `native` has tools, choice and its own parameters in its request, and no secret."""
    model = Native(command=["cat"], input="request")
    given = json.loads(model.bind_tools([add], tool_choice="auto").invoke("hello", temperature=0.5).text)
    assert "add" == given["tools"][0]["function"]["name"]
    assert ("auto", {"temperature": 0.5}) == (given["tool_choice"], given["params"])


ARGUMENTS = ["printf", "%s|"]


def test_placeholders_in_arguments() -> None:
    """Placeholders stand for what the call brings, doubled braces for braces; no shell reads any of it."""
    model = ChatCommand(
        command=[*ARGUMENTS, "{text}", "a {system}", "{{{model}}}", "{n}", "{flag}", "{messages}"],
        model="m1",
        params={"n": 3, "flag": True},
    )
    *first, messages = said(model, [SystemMessage("one"), SystemMessage("two"), ("user", "$(id) `id` $HOME ;")]).split(
        "|"
    )[:-1]
    assert ["$(id) `id` $HOME ;", "a one\n\ntwo", "{m1}", "3", "true"] == first
    assert "user" == json.loads(messages)[-1]["role"]
    assert "7" == said(model, CONVERSATION, params={"n": 7, "flag": 1}).split("|")[3]


def test_fields_of_a_subclass_are_placeholders_and_parameters_of_a_call() -> None:
    """A subclass's field fills its placeholder; arguments in a list are left out while it has no value."""
    model = Native(command=[*ARGUMENTS, ["-t", "{temperature}"], "{text}"])
    assert "hello|" == said(model)
    assert "-t|0.5|hello|" == said(model, temperature=0.5)
    with pytest.raises(InvalidInputError, match=r"'\{temperature\}' has no value .* list of its own"):
        said(Native(command=[*ARGUMENTS, "{temperature}"]))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"command": "cat -n"}, "'cat -n'; expected a list .*shlex"),
        ({"command": []}, "at least 1"),
        ({"command": [["cat"]]}, "begins with the list"),
        ({"command": ["cat", "{promt}"]}, r"placeholder \{promt\}; there are .*prompt"),
        ({"command": ["cat", "{prompt.__class__}"]}, r"placeholder \{prompt.__class__\}; there are"),
        ({"command": ["cat", "{text!r}"]}, "a name in its braces"),
        ({"command": ["cat", "{text:>9}"]}, "a name in its braces"),
        ({"command": ["cat", "{}"]}, "a name in its braces"),
        ({"command": ["cat", '{"a": 1']}, "An argument of `command` is .*Write {{ and }}"),
        ({"command": ["cat"], "output": "jsonl"}, "needs `paths`"),
        ({"command": ["cat"], "paths": {"text": "a"}}, "Set output='jsonl'"),
        ({"command": ["cat"], "output": "jsonl", "paths": {"txt": "a"}}, "Did you mean 'text'"),
        ({"command": ["cat"], "environment": {"A": None}}, r"environment\['A'\] is a NoneType"),
        ({"command": ["cat"], "idle_timeout": 0}, "greater than 0"),
    ],
)
def test_a_wrong_description_is_refused_when_the_model_is_made(settings: dict[str, Any], complaint: str) -> None:
    """What cannot work is refused at once, with what to write instead."""
    with pytest.raises(ValidationError, match=complaint):
        ChatCommand(**settings)


def test_a_system_message_is_never_lost() -> None:
    """A program that is shown the last message alone refuses instructions, tools and schemas that it would not see."""
    model = ChatCommand(command=["cat"], input="text")
    for ask in (model, model.bind_tools([add])):
        with pytest.raises(UnsupportedError, match="system message"):
            ask.invoke([("system", "Be brief."), ("user", "hello")])
    assert "hello" == said(ChatCommand(command=["cat", "-", ["{system}"]], input="text"))


# --- its environment and directory ---


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program gets PATH, HOME and the language, what is named or given, and nothing else."""
    monkeypatch.setenv("LC_TIME", "C")
    for name in ("ACME_A", "ACME_B", "OTHER", "API_KEY"):
        monkeypatch.setenv(name, "outside")
    given = {
        "TEXT": "a=b",
        "NUMBER": 3,
        "PLACE": Path("/x"),
        "LATER": env("ACME_B"),
        "DEFAULT": env("NO_SUCH", default="d"),
    }
    listed = said(ChatCommand(command=["env"], inherit=["ACME_*"], environment=given))
    variables = dict(line.split("=", 1) for line in listed.splitlines())
    assert {"PATH", "LC_TIME"} <= variables.keys()
    assert not {"OTHER", "API_KEY"} & variables.keys()
    expected = {"ACME_A": "outside", "TEXT": "a=b", "NUMBER": "3", "PLACE": "/x", "LATER": "outside", "DEFAULT": "d"}
    assert expected == {name: variables[name] for name in expected}


def test_a_missing_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is to come from the environment and is not there is named."""
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(MissingSecretError, match="NO_SUCH"):
        said(ChatCommand(command=["env"], environment={"X": env("NO_SUCH")}))


@pytest.mark.parametrize("given", [{"A=B": "x"}, {"": "x"}, {"A": "x\0y"}])
def test_a_variable_that_cannot_be_set_is_refused(given: dict[str, str]) -> None:
    """What cannot be a variable is refused by its name."""
    with pytest.raises(InvalidInputError, match="cannot be set"):
        said(ChatCommand(command=["env"], environment=given))


def test_the_directory(tmp_path: Path) -> None:
    """The program runs where it is told to, and a relative path to it leads from there."""
    script = tmp_path / "where"
    script.write_text("#!/bin/sh\npwd")
    script.chmod(0o755)
    assert str(tmp_path) == said(ChatCommand(command=["./where"], cwd=tmp_path))


SECRET = "s3cret-value-of-mine"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, call: ways.Path) -> None:
    """A secret variable shows in no repr, dump, cache key, parameter, pickle or error, and the program has it."""
    monkeypatch.setenv("INHERITED_TOKEN", f"{SECRET}-too")
    script = 'echo "$A_KEY $GIVEN $INHERITED_TOKEN" >&2; test -n "$GIVEN" || exit 9; exit 1'
    model = shell(script, environment={"A_KEY": SECRET, "GIVEN": SecretStr(SECRET)}, inherit=["INHERITED_TOKEN"])
    with pytest.raises(CommandFailedError) as caught:
        call(model, "hello")
    assert (1, "***** ***** *****") == (caught.value.status, caught.value.stderr)
    shown = (repr(model), dumps(model), model.cache_key(), repr(model._identifying_params), repr(pickle.dumps(model)))
    for one in (*shown, repr(model.model_dump()), str(caught.value), repr(vars(model))):
        assert SECRET not in one


@pytest.mark.parametrize("place", ["field", "params", "plain params"])
def test_a_secret_placeholder_is_shown_to_the_program_alone(place: str) -> None:
    """A secret that fills a placeholder, a field's or one of `params`, reaches the program and shows in no error."""
    command = ["sh", "-c", f'test "$0" = {SECRET} && echo "$0" >&2; exit 1', "{api_key}"]
    given: dict[str, Any] = {"api_key": SECRET if place == "plain params" else SecretStr(SECRET)}
    settings = given if place == "field" else {"params": given}
    with pytest.raises(CommandFailedError) as caught:
        said(Native(command=command, input="text", **settings))
    assert "*****" == caught.value.stderr
    assert SECRET not in str(caught.value)


def test_a_plain_parameter_with_a_secrets_name_is_given_as_any_other() -> None:
    """The program reads it in the JSON of a request; a `SecretStr` it gets by an argument alone."""
    model = ChatCommand(command=["cat"], input="request", params={"token": "<eos>", "key": SecretStr(SECRET)})
    assert {"token": "<eos>"} == json.loads(said(model))["params"]


def test_a_pickle_looks_its_secrets_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `env` names is looked up in the environment of whoever loads the pickle; a copy keeps it."""
    model = ChatCommand(command=["env"], environment={"MY_KEY": env("KEY_OF_MINE"), "PLAIN": "p"})
    loaded = pickle.loads(pickle.dumps(model))
    monkeypatch.delenv("KEY_OF_MINE", raising=False)
    with pytest.raises(MissingSecretError, match="KEY_OF_MINE"):
        said(loaded)
    monkeypatch.setenv("KEY_OF_MINE", "another")
    assert {"MY_KEY=another", "PLAIN=p"} <= set(said(loaded).splitlines())
    assert "MY_KEY=another" in said(deepcopy(model))
    assert model == deepcopy(model)


@pytest.mark.parametrize(
    "given",
    [{"MY_KEY": SECRET}, {"MY_KEY": SecretStr(SECRET)}, {"X": SecretStr(SECRET)}, {"A": "1", "X": SecretStr(SECRET)}],
)
def test_a_given_secret_of_a_pickle_is_never_another_one(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    """A secret that was given stays behind, and loading says so, whatever this environment has under its name."""
    name = [*given][-1]
    monkeypatch.setenv(name, "another")
    model = ChatCommand(command=["env"], environment=given)
    pickled = pickle.dumps(model)
    assert SECRET.encode() not in pickled
    with pytest.raises(
        MissingSecretError, match=rf"environment\['{name}'\].*environment={{'{name}': env\('{name}'\)}}"
    ):
        pickle.loads(pickled)
    assert f"{name}={SECRET}" in said(deepcopy(model))
    assert f"{name}={SECRET}" in said(model.model_copy())


@given(st.text(alphabet="abc", min_size=8, max_size=12), st.text(alphabet="abc-", max_size=30), st.integers(0, 30))
def test_the_rest_of_a_secret_is_scrubbed_too(secret: str, text: str, at: int) -> None:
    """However a text that ends with a secret is cut off in front, not even the rest of the secret is left in it."""
    whole = f"{text}-{secret}"
    left = scrub(whole[min(at, len(whole) - 1) :], [secret], was_cut=True)
    assert secret not in left
    assert left.endswith("*****")


def test_the_cache_key_follows_what_is_public() -> None:
    """Another command, input, directory, parameter or public variable is another cache entry; another secret is not."""
    base: dict[str, Any] = {"command": ["cat"], "environment": {"A": "1", "B_KEY": "x"}}
    others: list[dict[str, Any]] = [
        {"command": ["cat", "-"]},
        {"input": "text"},
        {"output": "lines"},
        {"output": "jsonl", "paths": {"text": "a"}},
        {"environment": {"A": "2"}},
        {"inherit": ["X"]},
        {"cwd": "/"},
        {"params": {"n": 1}},
        {"model": "m"},
    ]
    keys = [ChatCommand(**base | other).cache_key() for other in [{}, *others]]
    assert len(keys) == len(set(keys))
    assert keys[0] == ChatCommand(**base | {"environment": {"A": "1", "B_KEY": "y"}}).cache_key()


# --- what cannot be given ---


@pytest.mark.parametrize("kind", ["prompt", "text", "messages", "request"])
def test_a_lone_surrogate_is_refused(kind: Any) -> None:
    """Half a surrogate pair is refused with its place, on stdin and in an argument."""
    for model in (ChatCommand(command=["cat"], input=kind), ChatCommand(command=["echo", "{text}"])):
        with pytest.raises(InvalidInputError, match="lone surrogate at position"):
            said(model, "ab\udc80")


def test_what_no_argument_can_hold_is_refused() -> None:
    """A NUL in an argument is refused, and one that is too long says to use stdin."""
    model = ChatCommand(command=["echo", "{text}"])
    with pytest.raises(InvalidInputError, match="NUL"):
        said(model, "a\0b")
    with pytest.raises(ContextOverflowError, match="on stdin"):
        said(model, "x" * 3_000_000)


# --- what it writes ---


def test_text_streams_as_it_comes(tmp_path: Path) -> None:
    """A piece is shown while the program goes on, not at its end."""
    seen = tmp_path / "seen"
    stream = shell(
        "printf one; while ! test -e $SEEN; do sleep 0.01; done; printf two", environment={"SEEN": seen}
    ).stream("x")
    assert "one" == next(stream).text
    seen.touch()
    assert "two" == "".join(chunk.text for chunk in stream)


def test_each_line_is_a_piece(call: ways.Path) -> None:
    """With `lines`, each line comes by itself, however the program writes them."""
    model = shell(r"printf 'one\ntw'; sleep 0.05; printf 'o\n\nthree'", output="lines")
    assert "one\ntwo\n\nthree" == call(model, "hello").text
    assert ["one", "\ntwo", "\n\nthree"] == [chunk.text for chunk in model.stream("hello") if chunk.text]


def test_newlines_and_colours_at_will() -> None:
    """The last newlines and terminal codes are taken out, unless they are wanted."""
    script = r"printf '\033[31mred\033[0m\r\n\n'"
    assert "red" == said(shell(script))
    assert "\x1b[31mred\x1b[0m\r\n\n" == said(shell(script, strip_ansi=False, strip_newlines=False))


@pytest.mark.parametrize("output", ["text", "lines"])
def test_an_empty_answer(call: ways.Path, output: Any) -> None:
    """A program that writes nothing and says that all is well has answered nothing."""
    assert "" == call(shell("exit 0", output=output), "hello").text


def test_a_stop_string_and_reasoning(call: ways.Path) -> None:
    """A stop string ends an endless answer behind itself, and thoughts in tags are taken for thoughts."""
    answered = call(shell("while :; do echo word; done", timeout=30), "hello", stop=["d\nw"])
    assert ("word\nw", "d\nw") == (answered.text, answered.message.response_metadata["stop_sequence"])
    thinking = call(shell("echo '<think>hm</think>yes'"), "hello").message
    assert ["reasoning", "text"] == [block["type"] for block in thinking.content_blocks]


def test_a_tool_called_in_text(call: ways.Path) -> None:
    """A program that knows only text calls tools by writing the call, with its instructions in the prompt."""
    script = """grep -q add && echo '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'"""
    (made,) = call(shell(script, input="prompt").bind_tools([add]), "hello").message.tool_calls
    assert ("add", {"a": 1, "b": 2}) == (made["name"], made["args"])


JSONL: dict[str, Any] = {
    "output": "jsonl",
    "paths": {
        "text": "delta",
        "reasoning": "thought",
        "tool_calls": "calls",
        "usage": "usage",
        "finish": "why",
        "reasons": {"end": "stop"},
        "error": "error",
    },
}


class Lines(ChatCommand):
    """Calls tools by itself."""

    tool_calling = "native"


def lines(*values: Any, status: int = 0) -> ChatCommand:
    """A program that writes JSON lines."""
    text = "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    script = f"cat <<'END'\n{text}\nEND\nexit {status}"
    return Lines(command=["sh", "-c", "{script}"], params={"script": script}, input="text", **JSONL)


def test_json_lines(call: ways.Path) -> None:
    """Thoughts, text, calls, usage and finish are read out of JSON lines; those that no path fits say nothing."""
    model = lines(
        {"thought": "hm"},
        {"delta": "On"},
        "",
        {"other": 1},
        {"delta": "e"},
        {"calls": [{"name": "add", "args": {"a": 1}, "id": "c1"}]},
        {"usage": {"input_tokens": 3, "output_tokens": 4}, "why": "end"},
    )
    message = call(model, "hello").message
    assert ("One", "tool_calls") == (message.text, message.response_metadata["finish_reason"])
    assert [("add", {"a": 1}, "c1")] == [(one["name"], one["args"], one["id"]) for one in message.tool_calls]
    assert message.usage_metadata is not None
    assert 7 == message.usage_metadata["total_tokens"]
    assert "reasoning" == message.content_blocks[0]["type"]


def test_one_json_value() -> None:
    """With `json`, the whole output is one value, over as many lines as it likes."""
    model = shell("""echo '{"a": {\n"b": "yes"\n}}'""", output="json", paths={"text": "a.b"})
    assert "yes" == said(model)


BROKEN: dict[str, tuple[ChatCommand, type[ModelError], str, str | None]] = {
    "no JSON": (
        lines({"delta": "a"}, "Loading"),
        UnreadableAnswerError,
        "line 2 .* is not valid JSON .*'Loading'",
        "a",
    ),
    "half a line": (shell("""printf '{"delta": "a"}\\n{"delta": "b'""", **JSONL), UnreadableAnswerError, "line 2", "a"),
    "half a line, and failed": (
        shell("""printf '{"delta": "a"}\\n{"delta": "b'; exit 4""", **JSONL),
        CommandBrokeOffError,
        "status 4",
        "a",
    ),
    "no finish": (lines({"delta": "a"}, {"delta": "b"}), IncompleteAnswerError, "ended before the answer did", "ab"),
    "nothing at all": (lines(""), IncompleteAnswerError, "nothing came", None),
    "an error": (lines({"delta": "a"}, {"error": {"message": "too many requests"}}), ModelError, "too many", "a"),
    "other keys": (lines({"a": 1, "why": "end"}), UnreadableAnswerError, "found nothing", None),
    "failed": (shell("echo oh >&2; exit 3"), CommandFailedError, "'sh' ended with status 3.*\noh\n", None),
    "failed in mid-answer": (shell("echo so; exit 3"), CommandBrokeOffError, "middle of its answer.*nothing", "so"),
    "killed": (shell("kill -9 $$"), CommandFailedError, "was ended by SIGKILL", None),
    "killed in mid-answer": (shell("echo so; kill -15 $$"), CommandBrokeOffError, "SIGTERM", "so"),
    "not there": (
        ChatCommand(command=["no-such-program"]),
        CommandNotFoundError,
        "'no-such-program' was not found",
        None,
    ),
    "no interpreter": (ChatCommand(command=["{path}"], params={"path": "/no/x"}), CommandNotFoundError, "PATH", None),
    "not executable": (ChatCommand(command=["/etc/passwd"]), CommandNotExecutableError, r"chmod \+x", None),
    "no directory": (ChatCommand(command=["cat"], cwd="/no/such"), CommandNotFoundError, "cwd='/no/such'", None),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_what_goes_wrong_is_the_same_error_on_each_path(name: str, call: ways.Path) -> None:
    """Whatever goes wrong is one typed error on each path, with its cause in words and what had come."""
    model, kind, words, partial = BROKEN[name]
    with pytest.raises(kind, match=f"(?s){words}") as caught:
        call(model, "hello")
    assert partial == (caught.value.partial and caught.value.partial.text)  # type: ignore[attr-defined]


def test_errors_are_also_the_usual_ones() -> None:
    """What is not found or not allowed is an error of langchain-core and one of Python's own."""
    assert issubclass(CommandNotFoundError, FileNotFoundError)
    assert issubclass(CommandNotFoundError, ModelNotFoundError)
    assert issubclass(CommandNotExecutableError, PermissionError)
    assert issubclass(CommandBrokeOffError, IncompleteAnswerError)


@pytest.mark.parametrize("script", ["exit 75", "echo a; exit 75", "kill -9 $$"])
def test_only_named_statuses_are_retryable(script: str) -> None:
    """A failure says that asking again may help only if its status is in `retry_on`."""
    for named, expected in ((frozenset[int](), False), (frozenset({75, -9}), True)):
        with pytest.raises(CommandFailedError) as caught:
            said(shell(script, retry_on=named))
        assert expected is caught.value.is_retryable


def test_the_stderr_that_is_shown_is_bounded() -> None:
    """Of 10 MB on stderr the error shows the end, without colours, and the program never has to wait for a reader."""
    script = r"head -c 10000000 /dev/zero | tr '\0' x >&2; printf '\033[31mlast\033[0m words\n' >&2; exit 1"
    with pytest.raises(CommandFailedError, match="last words") as caught:
        said(shell(script))
    assert len(caught.value.stderr) <= 2000 < len(str(caught.value))


# --- however the output is cut ---


def text_reader() -> OutputReader:
    return TextOutputReader(lines=False, strip_ansi=True, strip_newlines=True)


def line_reader() -> OutputReader:
    return TextOutputReader(lines=True, strip_ansi=True, strip_newlines=True)


def json_reader() -> OutputReader:
    paths = read_paths({"text": "t", "finish": "f"})
    assert paths is not None
    return JsonOutputReader(paths, whole=False, owner="It", scrub=str)


OUTPUTS = {
    text_reader: "é\n\n\x1b[31mrot\x1b[0m 👩‍🚀\r\n\n".encode(),
    line_reader: "eins\n\n\x1b]0;t\x07zwei 日本\r\ndrei\n".encode(),
    json_reader: '{"t": "é\\n"}\n\n{"t": "👩"}\r\n{"f": "stop"}'.encode(),
}


@pytest.mark.parametrize("make", list(OUTPUTS), ids=lambda make: make.__name__)
@given(cuts=st.sets(st.integers(0, 60)))
def test_the_cut_does_not_matter(make: Any, cuts: set[int]) -> None:
    """However the program's output is cut, the text is the same, and so are the pieces where lines are pieces."""
    data, whole, pieced = OUTPUTS[make], make(), make()
    expected = [*whole.feed(data), *whole.rest()]
    edges = [0, *sorted(cuts), len(data)]
    parts = [part for a, b in pairwise(edges) for part in pieced.feed(data[a:b])]
    parts += pieced.rest()
    if make is text_reader:
        assert "".join(expected) == "".join(parts) == "é\n\nrot 👩‍🚀"
    else:
        assert expected == parts


def test_the_request_is_not_looked_at_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that nobody asked for is not rendered, so a template that does not fit does no harm."""
    monkeypatch.setattr(Request, "prompt", lambda *_: pytest.fail("rendered"))
    assert "hello" == said(ChatCommand(command=["cat"], input="text"))


def test_the_program_can_be_a_python_module(call: ways.Path) -> None:
    """The interpreter that runs is a program like any other."""
    model = ChatCommand(command=[sys.executable, "-c", "import sys; print(sys.stdin.read()[::-1])"], input="text")
    assert "olleh" == call(model, "hello").text
