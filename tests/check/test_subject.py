"""What a check is given: one interface to models of every kind."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from tests.check import subjects
from tests.check.bench import Reference
from tests.echo_models import ECHO_MODELS, MakeModel

from langplug.models import ChatScripted
from langplug.models.endpoint import ChatEndpoint
from langplug_backend import Call, Fault, Reply, Thought, Tokens
from langplug_check import Failed, NotObserved, Subject, run
from langplug_check.paths import PATHS, STREAMED, error_text

KINDS = {"scripted": Reference, "wire": ChatEndpoint}

FULL = Reply(
    pieces=(Thought("hm"), "One ", "two.", Call(name="add", args={"a": 1, "b": 2}, id="call-1")),
    usage=Tokens(input=3, output=4, reasoning=1),
)


@pytest.fixture(params=KINDS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with Subject(KINDS[request.param]) as made:
        yield made


def test_a_model_says_what_it_is_to_say(subject: Subject) -> None:
    """By each path, whatever stands behind the model: text, reasoning, a call, usage."""
    for outcome in subject.each_path(lambda: subject.says(FULL)):
        answer = outcome.answer
        assert ("One two.", "One two.") == (outcome.text, answer.text)
        assert [("add", {"a": 1, "b": 2}, "call-1")] == [(c["name"], c["args"], c["id"]) for c in answer.tool_calls]
        assert answer.usage_metadata is not None
        assert (3, 4) == (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"])
        assert "hm" in str(answer.content_blocks)
        assert ["start", "end"] == outcome.recorder.kinds


def test_replies_come_request_by_request(subject: Subject) -> None:
    """The last one is given again and again; what was asked is seen."""
    model = subject.says("one", lambda asked: f"{asked.text}?", "three")
    assert ["one", "say?", "three", "three"] == [model.invoke("say").text for _ in range(4)]
    assert ["say"] * 4 == [exchange.text for exchange in subject.exchanges]
    # the server notes it after the last byte, which the client may have read by then
    assert subject.wait_for(lambda: {"complete"} == {exchange.outcome for exchange in subject.exchanges}, 10)
    assert [("user", "say")] == [(said.role, said.text) for said in subject.exchanges[0].request.messages]  # type: ignore[union-attr]


@pytest.mark.parametrize("path", PATHS)
def test_trouble_reaches_the_model(subject: Subject, path: str) -> None:
    """A fault is an error, by each path, and the log says that it broke off."""
    outcome = subject.ask(subject.suffers(Fault.reset(after=2)), None, path)
    assert outcome.error is not None
    assert outcome.message is None
    assert ["start", "error"] == outcome.recorder.kinds
    assert "fault" == subject.exchanges[-1].outcome
    with pytest.raises(Failed, match=f"{path} raised"):
        outcome.answer  # noqa: B018 - it raises


def test_who_goes_early_is_seen_to(subject: Subject) -> None:
    """A stream that is left is seen as such by what answers."""
    stream = subject.says(Reply(text="one two three four", pace=0.05)).stream("?")
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert subject.wait_for(lambda: subject.exchanges[-1].outcome == "client_gone", 10)


def test_an_object_is_given_in_the_way_it_is_asked_for(subject: Subject) -> None:
    """By a call where tools are offered, else as JSON."""
    schema = {"title": "Point", "description": "A point.", "type": "object", "properties": {"x": {"type": "integer"}}}
    for method in ("function_calling", "json_schema"):
        model = subject.gives({"x": 1}).with_structured_output(schema, method=method)
        assert {"x": 1} == model.invoke("?")


@pytest.mark.parametrize("make", ECHO_MODELS.values(), ids=ECHO_MODELS)
def test_each_shape_is_played(make: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script is played in the shape of the class under check, and prompted models write their calls."""
    monkeypatch.setenv("ECHO_API_KEY", "sk-echo")
    subject = Subject(make())
    model = subject.says(FULL).bind_tools([{"name": "add", "description": "Adds.", "parameters": {"type": "object"}}])
    assert {("add", 1)} == {(c["name"], c["args"]["a"]) for c in subject.ask(model).answer.tool_calls}
    asked = subject.exchanges[0].request
    assert asked is not None
    assert ["add"] == [tool["function"]["name"] for tool in asked.tools]
    assert subject.cls.__langplug_shape__ is type(subject.says("hi")).__langplug_shape__  # type: ignore[attr-defined]


def test_a_model_that_echoes_is_told_what_to_say() -> None:
    """A text is said by asking for it; anything else was not observed."""
    subject = Subject(subjects.Echo())
    assert ["one two"] * 4 == [o.text for o in subject.each_path(lambda: subject.says("one two"), paths=STREAMED)]
    with pytest.raises(NotObserved, match="can be told nothing but one text"):
        subject.says(FULL)
    with pytest.raises(NotObserved):
        subject.suffers(Fault.reset())


def test_a_model_of_which_nothing_is_known_says_what_it_says() -> None:
    """Its own answer is the oracle, if it is always the same."""
    subject = Subject(subjects.Foreign())
    assert "A fixed answer." == subject.answer() == subject.ask(subject.model()).text
    with pytest.raises(NotObserved, match="cannot be chosen"):
        subject.says("hi")
    with pytest.raises(NotObserved, match="not the same each time, or empty"):
        Subject(subjects.Foreign(said="")).answer()


def test_needs_are_told() -> None:
    """What a check needs is there, or it is said why not."""
    foreign, reference = Subject(subjects.Foreign()), Subject(Reference)
    assert "it has neither `_stream`" in str(foreign.lacks("streaming"))
    assert "speaks to no server" in str(reference.lacks("backend"))
    assert {None} == {reference.lacks(need) for need in ("text", "replies", "faults", "requests", "tools", "streaming")}


def test_a_key_is_read_without_reaching_the_model() -> None:
    """The key and the start of a run are seen on a model that would not answer."""
    subject = Subject(subjects.Broken())
    assert "'_type', 'foreign'" in subject.key(subject.real())
    assert "foreign" == subject.start(subject.real()).more["invocation_params"]["_type"]


def test_a_real_model_answers_by_itself() -> None:
    """`real` is the model as its user makes it."""
    assert "echo" == Subject(Reference).real().invoke("echo").text
    assert "two" == Subject(ChatScripted(replies=["two"])).real().invoke("?").text


def test_a_model_that_cannot_be_made_again_is_not_observed() -> None:
    """What differs from the one that was given is made by its class, where that is possible."""

    class Once(subjects.Foreign):
        def __init__(self, secret_of_making: int = 0, **kwargs: object) -> None:
            if not secret_of_making:
                raise ValueError("only once")
            super().__init__(**kwargs)

    subject = Subject(Once(1))
    assert subject.real() is subject.real()
    with pytest.raises(NotObserved, match="cannot be made again from its fields: only once"):
        subject.real(said="?")


def test_a_coroutine_has_a_limit_of_time() -> None:
    """What takes too long has failed."""
    with pytest.raises(Failed, match=r"no answer within 0\.01 seconds"):
        run(asyncio.sleep(5), 0.01)


def test_an_error_is_shown_on_one_line() -> None:
    """A long message is cut; of pydantic's, what is wrong with which field is told, and no value: it may be a key."""
    assert "ValueError: a b" == error_text(ValueError("a\n  b"))
    assert 220 > len(error_text(ValueError("x" * 1000)))
    with pytest.raises(ValidationError) as caught:
        Reference(temperature="sk-secret")
    assert (
        "ValidationError: temperature: Input should be a valid number, unable to parse string as a number"
        == error_text(caught.value)
    )
