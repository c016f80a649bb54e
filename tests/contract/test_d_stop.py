"""Group D of the contract: stop strings, left out with `include_stop=False`, included by default."""

import pytest
from tests.echo_models import MakeModel
from tests.paths import Path, chunks

from langplug import Part
from langplug.models import ChatScripted

PROMPT = "one two END three"


@pytest.fixture(params=["echo", "spell"])
def mode(request: pytest.FixtureRequest) -> str:
    """Whether the stop string comes in one chunk or spans several."""
    return str(request.param)


def test_d01_d02_the_text_ends_before_the_stop_string(make_model: MakeModel, call: Path, mode: str) -> None:
    """With `include_stop=False` the text ends right before the stop string, however it is cut into chunks."""
    assert "one two " == call(make_model(mode=mode, include_stop=False), PROMPT, stop=["END"]).text


def test_d01_the_text_ends_behind_the_stop_string_by_default(make_model: MakeModel, call: Path, mode: str) -> None:
    """By default the text ends right behind the stop string."""
    assert "one two END" == call(make_model(mode=mode), PROMPT, stop=["END"]).text


def test_d01_a_call_chooses_whether_to_include(make_model: MakeModel, call: Path) -> None:
    """`include_stop` holds for one call like any other parameter."""
    assert "one two " == call(make_model(), PROMPT, stop=["END"], include_stop=False).text
    assert "one two END" == call(make_model(include_stop=False), PROMPT, stop=["END"], include_stop=True).text


def test_d01_the_metadata_say_what_happened(make_model: MakeModel, call: Path) -> None:
    """Why the answer ended, at which string, and that langplug cut it, are in the metadata, on each path."""
    metadata = call(make_model(), PROMPT, stop=["NO", "END"]).message.response_metadata
    assert ("stop", "END") == (metadata["finish_reason"], metadata["stop_sequence"])
    assert [{"feature": "stop", "action": "cut by langplug"}] == metadata["adaptations"]


def test_d01_nothing_is_said_of_a_stop_string_that_did_not_come(make_model: MakeModel, call: Path) -> None:
    """An answer without the stop string is whole, and its metadata say nothing of one."""
    answered = call(make_model(), PROMPT, stop=["STOP"])
    assert PROMPT == answered.text
    assert not {"stop_sequence", "adaptations"} & set(answered.message.response_metadata)


def test_d02_stop_strings_are_literal(make_model: MakeModel, call: Path) -> None:
    """No character of a stop string is special."""
    model = make_model(mode="spell")
    for stop in ("<|end|>", "a.b", "(x", "[", "\\n", "$^", "\n\n", "停"):
        assert f"aXb < | end x n {stop}" == call(model, f"aXb < | end x n {stop} tail", stop=[stop]).text


def test_d02_streams_hold_back_only_what_may_become_a_stop_string(make_model: MakeModel) -> None:
    """A chunk of a streaming model waits for the next one only while it may be the beginning of a stop string."""
    model = make_model(mode="spell")
    expected = ["a", "b", "c", ""] if model.__langplug_shape__.streams else ["abc", ""]
    assert expected == [chunk.text for chunk in chunks(model, "abc", stop=["XYZ"])]


def test_d03_a_single_string_is_taken_as_a_list_of_one(make_model: MakeModel, call: Path) -> None:
    """One stop string may be given as it is, to the constructor and to a call."""
    assert "one two END" == call(make_model(stop="END"), PROMPT).text
    assert "one two END" == call(make_model(), PROMPT, stop="END").text


def test_d03_stop_strings_of_a_call_replace_those_of_the_constructor(make_model: MakeModel, call: Path) -> None:
    """Stop strings of a call go before the constructor's, and an empty list means none."""
    model = make_model(stop=["one"])
    assert "one two" == call(model, PROMPT, stop=["two"]).text
    assert PROMPT == call(model, PROMPT, stop=[]).text
    assert "one" == call(model, PROMPT).text


def test_d03_an_empty_stop_string_is_refused(make_model: MakeModel, call: Path) -> None:
    """A stop string without a character is an error, as it would end every text at once."""
    with pytest.raises(ValueError, match=r"stop holds ''"):
        call(make_model(), PROMPT, stop=["END", ""])


def test_d_stop_strings_do_not_count_in_reasoning(call: Path) -> None:
    """A stop string in what was thought ends nothing; one in what is said does."""
    model = ChatScripted(replies=[["<think>END</think>", "one E", "ND two"]], reasoning_tags=("<think>", "</think>"))
    message = call(model, "?", stop=["END"]).message
    assert ("one END", "END") == (message.text, message.additional_kwargs["reasoning_content"])


def test_d_what_comes_behind_a_stop_string_is_not_asked_for(call: Path) -> None:
    """The author's function is closed at the stop string: what would fail behind it is never reached."""
    script: list[Part | Exception] = ["one ", "END", RuntimeError("asked for more")]
    assert "one END" == call(ChatScripted(replies=[script]), "?", stop=["END"]).text


def test_d_helping_can_be_refused(make_model: MakeModel, call: Path) -> None:
    """With `adaptations="refuse"` stop strings that langplug would have to cut are an error."""
    with pytest.raises(NotImplementedError, match="cannot do 'stop' by itself"):
        call(make_model(adaptations="refuse"), PROMPT, stop=["END"])
