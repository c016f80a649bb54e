"""Templates of requests, texts with placeholders, and what a request is made of."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelInvalidRequestError

from langplug._http.request import encode_body, join_address, merge, split_address
from langplug._http.templates import LazyMapping, check_template, fill_template, interpolate, names_in, placeholders
from langplug._stream.expressions import ExpressionError

FACTS = {"model": "m1", "temperature": 0.0, "stop": None, "tools": [{"function": {"name": "f"}}], "on": False}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("$model", "m1"),
        ("plain", "plain"),
        ("$$5", "$5"),
        ("$$model", "$model"),
        ("costs $5", "costs $5"),
        ({"a": "$model", "b": "$stop"}, {"a": "m1"}),
        ({"a": {"b": "$stop"}}, None),
        ({"a": {"b": "$stop"}, "c": 1}, {"c": 1}),
        ({"a": {}}, {"a": {}}),
        ({"a": [], "b": None}, {"a": [], "b": None}),
        ({"t": "$temperature", "on": "$on"}, {"t": 0.0, "on": False}),
        (["$model", "$stop", 3], ["m1", 3]),
        (["$stop"], None),
        ("$tools[].function.name", ["f"]),
        ("$join('-', [model, 'x'])", "m1-x"),
        ("$on && 'yes' || 'no'", "no"),
        ("$temperature > `0` && temperature || `null`", None),
        (None, None),
        (7, 7),
    ],
)
def test_a_template_is_filled_with_what_is_known(template: Any, filled: Any) -> None:
    """`$` begins an expression, `$$` a plain dollar; what finds nothing vanishes, and what is emptied by that, too."""
    assert fill_template(template, FACTS) == filled


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5).filter(lambda text: not text.startswith("$")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_what_holds_no_expression_stays_as_it_is(value: Any) -> None:
    """A template without a dollar is what is sent."""
    assert fill_template(value, {}) == value


@given(JSON)
def test_what_an_expression_finds_is_not_looked_into(value: Any) -> None:
    """What the user said is never taken for a template, and null and empty values in it are kept."""
    assert fill_template({"a": "$x"}, {"x": [value, "$x", {}, None]}) == {"a": [value, "$x", {}, None]}


def test_what_is_not_looked_up_is_not_made() -> None:
    """Lazy facts are made when an expression asks for them, once."""
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name

    assert fill_template(["$a", "$[a, a]"], LazyMapping({name: partial(make, name) for name in ("a", "b")})) == [
        "a",
        ["a", "a"],
    ]
    assert made == ["a"]


def test_a_function_that_is_given_something_else_says_so() -> None:
    """An expression that does not fit what is known is an error with the expression in it."""
    with pytest.raises(ExpressionError, match=r"join\('-', model\)"):
        fill_template("$join('-', model)", FACTS)


KNOWN = {"model": (), "stop": (), "ollama": ("messages", "tools")}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (
            {"a": ["x", "$modl"]},
            "body.a[1]: there is no $modl. Did you mean $model? There are: $model, $ollama, $stop.",
        ),
        ({"a": "$ollama.mesages"}, "body.a: there is no $ollama.mesages. Did you mean $ollama.messages?"),
        ({"a": "$ollama"}, "body.a: $ollama is not a value by itself. There are: $ollama.messages, $ollama.tools."),
        ({"a": "$api_key"}, "body.a: the key is never part of a template. Send it in `headers`, as '{api_key}'."),
        ({"a": "$"}, "body.a: An empty string is not a JMESPath expression"),
        ({"a": "$stop.["}, "body.a: it ends too early"),
        ({"a": "$foo(stop)"}, "JMESPath has no function foo()"),
        ("$stop && nothing.x", "body: there is no $nothing"),
        ("$merge({a: stop}, {b: modell})", "there is no $modell"),
    ],
)
def test_a_wrong_template_is_noticed_before_it_is_used(template: Any, told: str) -> None:
    """The error names the place, what was found there, and what there is."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - all of the message is looked at
        check_template(template, "body", KNOWN)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "$ollama.messages[?role != 'system'].{name: role, said: content}",
        "$sort_by(ollama.messages, &role)",
        "$ollama.messages | [0].content",
        "$ollama.messages[*].content",
        "$ollama.messages[0].x",
        "$ollama.messages[]",
        "$@",
        "$'text'",
        "plain $nothing",
        "$$nothing",
        {"a": None, "b": [1, True]},
    ],
)
def test_only_what_is_looked_up_in_the_facts_has_to_be_known(template: Any) -> None:
    """Names behind a path, in a projection or in a literal are the data's own."""
    check_template(template, "body", KNOWN)


def test_the_names_that_a_template_uses_are_known() -> None:
    """`names_in` gives each name, and with a dot what is asked of it."""
    assert names_in({"a": "$model", "b": ["$ollama.tools[].x", "$y"]}) == {"model", "ollama", "ollama.tools", "y"}


# --- texts with placeholders ---


def test_a_text_is_filled_in() -> None:
    """Each name in braces is replaced; doubled braces stand for themselves; a name without a value: no text."""
    assert interpolate("/{model}/{{x}}/{on}", {"model": "a", "on": True}) == "/a/{x}/true"
    assert interpolate("Bearer {key}", {"key": None}) is None
    assert interpolate("/{model}", {"model": "a/b c"}, lambda text: text.replace("/", "%2F")) == "/a%2Fb c"


@pytest.mark.parametrize("text", ["{", "}", "a{b", "{}", "{0}", "{a[0]}", "{a!r}", "{a:>10}"])
def test_braces_hold_names_and_nothing_else(text: str) -> None:
    """Attributes, formats and single braces are refused, with the place."""
    with pytest.raises(ValueError, match="url is"):
        placeholders(text, "url")


# --- what a request is made of ---


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://host:80/a/b?c=d", ("http://host:80", "/a/b?c=d")),
        ("https://host", ("https://host", "")),
        ("/a", ("", "/a")),
        ("host/a", ("", "host/a")),
        ("", ("", "")),
    ],
)
def test_a_whole_address_is_taken_apart(url: str, parts: tuple[str, str]) -> None:
    """The server's part and the rest; a path has no server."""
    assert split_address(url) == parts


@pytest.mark.parametrize(
    ("given_parts", "address"),
    [
        (("http://h/v1/", "/chat", {}), "http://h/v1/chat"),
        (("http://h", "", {}), "http://h"),
        (("http://h", "chat", {"a": "x y", "b": True, "c": 3}), "http://h/chat?a=x+y&b=true&c=3"),
        (("http://h", "/chat?a=1", {"b": ["x", "y"]}), "http://h/chat?a=1&b=x&b=y"),
    ],
)
def test_an_address_is_put_together(given_parts: tuple[str, str, dict[str, Any]], address: str) -> None:
    """One slash between the parts; the query is quoted, and a list in it is given item by item."""
    assert join_address(*given_parts) == address


def test_more_for_the_body_goes_into_its_mappings() -> None:
    """`merge` reaches into mappings, replaces everything else, and changes neither."""
    body = {"a": 1, "options": {"x": 1, "y": [1]}}
    more = {"options": {"y": [2], "z": {}}, "b": None}
    assert merge(body, more) == {"a": 1, "options": {"x": 1, "y": [2], "z": {}}, "b": None}
    assert merge(body, {}) is body
    assert merge(None, {"a": 1}) == {"a": 1}
    assert body == {"a": 1, "options": {"x": 1, "y": [1]}}


def test_a_body_is_json_a_form_or_text() -> None:
    """Mappings and lists are JSON, or a form where the header says so; a string is text; nothing is nothing."""
    dump = lambda body: json.dumps(body).encode()  # noqa: E731 - what is passed in
    assert encode_body({"a": 1}, "", dump) == (b'{"a": 1}', "application/json")
    assert encode_body({"a": 1}, "application/vnd.x+json", dump) == (b'{"a": 1}', "application/vnd.x+json")
    assert encode_body("hé", "", dump) == ("hé".encode(), "text/plain; charset=utf-8")
    form = "application/x-www-form-urlencoded"
    assert encode_body({"a": "x y", "b": [1, True], "c": {"d": 1}}, form, dump) == (
        b"a=x+y&b=1&b=true&c=%7B%22d%22%3A+1%7D",
        form,
    )
    assert encode_body(None, "", dump) == (None, "")


def test_what_json_cannot_hold_is_a_typed_error() -> None:
    """Huge integers, which orjson refuses, are written all the same."""
    import orjson

    assert encode_body({"a": 2**70}, "", orjson.dumps)[0] == b'{"a": 1180591620717411303424}'
    with pytest.raises(ModelInvalidRequestError):
        encode_body({"a": object()}, "", orjson.dumps)
