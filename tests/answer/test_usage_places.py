"""Where servers report usage, under which names, and what becomes of counts that are none."""

from typing import Any

import pytest
from tests.answer.test_call_streams import chunk
from tests.answer.test_openai_oddities import event

from langplug._answer.parser import AnswerParser
from langplug._stream.completion_reader import CompletionReader

COUNTS = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
PLAIN = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}


def usage_after(last: dict[str, Any]) -> Any:
    """The usage of an answer whose last chunk is `last`; its text has to be whole."""
    reader, parser = CompletionReader(), AnswerParser(owner="ChatTest.respond")
    body = event(chunk({"content": "Hi"})) + event(last)
    pieces = [piece for part in [*reader.feed(body), *reader.end()] for piece in parser.feed(part)]
    assert ["Hi"] == [*pieces, *parser.end()]
    return parser.usage()


def at_top(usage: Any) -> dict[str, Any]:
    return {**chunk({}, "stop"), "usage": usage}


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (at_top(COUNTS), PLAIN),
        ({"choices": [{**chunk({}, "stop")["choices"][0], "usage": COUNTS}]}, PLAIN),
        ({**chunk({}, "stop"), "x_groq": {"id": "r", "usage": COUNTS}}, PLAIN),
        ({**chunk({}, "stop"), "usage": None, "x_groq": {"usage": COUNTS}}, PLAIN),
        (at_top({"input_tokens": 11, "output_tokens": 3}), PLAIN),
        (at_top({**COUNTS, "cached_tokens": 8}), {**PLAIN, "input_token_details": {"cache_read": 8}}),
        (at_top({**COUNTS, "prompt_cache_hit_tokens": 8}), {**PLAIN, "input_token_details": {"cache_read": 8}}),
        (
            at_top(
                {**COUNTS, "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2, "image_tokens": 1}}
            ),
            {**PLAIN, "input_token_details": {"cache_read": 8, "cache_creation": 2, "image": 1}},
        ),
        (
            at_top({**COUNTS, "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 2}}),
            {**PLAIN, "output_token_details": {"reasoning": 1, "audio": 2}},
        ),
        (at_top({**COUNTS, "prompt_tokens": "11"}), PLAIN),
        (at_top({**COUNTS, "prompt_tokens": 11.0}), PLAIN),
    ],
)
def test_usage_is_found_wherever_it_stands(last: dict[str, Any], expected: Any) -> None:
    """At the top, in the choice, at Groq's place; by every name, with its details."""
    assert expected == usage_after(last)


@pytest.mark.parametrize("odd", [-1, "many", "\u00b2", 1.5, True, [], {}, float("nan")])
@pytest.mark.parametrize("place", [*COUNTS, "prompt_tokens_details", "cached_tokens"])
def test_an_odd_count_never_costs_an_answer(odd: Any, place: str) -> None:
    """A count that is none is left out, and the others stay."""
    usage = usage_after(at_top({**COUNTS, place: odd}))
    assert usage is not None
    assert all(type(usage[name]) is int and usage[name] >= 0 for name in PLAIN)
    if place in ("total_tokens", "prompt_tokens_details", "cached_tokens"):
        assert PLAIN == usage


@pytest.mark.parametrize("odd", [-1, "many", [1], True, 0])
def test_usage_that_is_none_at_all(odd: Any) -> None:
    """What stands in the place of usage and is no object reports nothing."""
    assert usage_after(at_top(odd)) is None
