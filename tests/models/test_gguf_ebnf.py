"""JSON schemas as grammars in EBNF: what they take and what they refuse, by llguidance's own reading of them.

OpenVINO reads the same grammars with xgrammar; that it does is shown in `tests/engines`.
"""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import any_to_lark

from langplug._tools.json_schema_check import problem_with
from langplug.models.gguf.ebnf import ebnf_of

BYTES = LLTokenizer("byte")


def matcher_of(schema: Any) -> LLMatcher:
    # As rules of the parser, which tries every way through them; as tokens, each would be as long as can be.
    lark = re.sub(r"\bRULE(\d+)", r"rule\1", any_to_lark(ebnf_of(json.dumps(schema))))
    matcher = LLMatcher(BYTES, lark)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def takes(schema: Any, text: str) -> bool:
    """Whether the grammar of `schema` takes `text` as a whole."""
    matcher, tokens = matcher_of(schema), BYTES.tokenize_str(text)
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


def of(**properties: Any) -> dict[str, Any]:
    """An object with these properties, all required, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


OPTIONAL = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "additionalProperties": False}
TREE = {
    "$defs": {"T": of(v={"type": "integer"}, next={"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]})},
    "$ref": "#/$defs/T",
}

CASES: list[tuple[Any, list[str], list[str]]] = [
    (of(a={"type": "boolean"}), ['{"a":true}'], ["{}", '{"a": true}', '{"a":1}', '{"a":true,"b":1}']),
    (OPTIONAL, ["{}", '{"a":1}', '{"b":2}', '{"a":1,"b":2}'], ['{"b":2,"a":1}', '{,"b":2}', '{"a":1,}']),
    ({**OPTIONAL, "required": ["b"]}, ['{"b":2}', '{"a":1,"b":2}'], ["{}", '{"a":1}']),
    ({**OPTIONAL, "required": ["a"]}, ['{"a":1}', '{"a":1,"b":2}'], ["{}", '{"b":2}']),
    ({**OPTIONAL, "additionalProperties": {"type": "null"}}, ['{"c":null}', '{"a":1,"c":null,"d":null}'], ['{"c":1}']),
    ({"type": "object", "minProperties": 1, "maxProperties": 2}, ['{"x":[1,{}]}', '{"x":1,"y":2}'], ["{}"]),
    ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a":1}']),
    ({"required": ["a"]}, ['{"a":1}', '{"a":[],"b":2}'], ["{}"]),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}, ["[true,false]"], ["[]", "[true]"]),
    ({"type": "array", "items": {"const": 1}, "maxItems": 1}, ["[]", "[1]"], ["[1,1]", "[1,]"]),
    ({"type": "array"}, ["[]", '[1,"a",null,[{}]]'], ["[,]", "1"]),
    ({"prefixItems": [{"const": 1}, {"const": "a"}], "items": False}, ['[1,"a"]'], ["[1]", '[1,"a",2]']),
    ({"prefixItems": [{"const": 1}], "items": {"const": 2}}, ["[1]", "[1,2,2]"], ["[]", "[1,1]"]),
    ({"enum": ["red", 'say "hi"\\', 1, None]}, ['"red"', '"say \\"hi\\"\\\\"', "1", "null"], ['"blue"', "2"]),
    ({"const": {"a": [1, "é"]}}, ['{"a":[1,"é"]}'], ['{"a": [1,"é"]}']),
    ({"type": ["integer", "null"]}, ["1", "-30", "0", "null"], ["01", "1.5", '"1"']),
    ({"type": "number"}, ["1", "-0.25", "1e5", "2.5E-3"], ["01", ".5", "1."]),
    ({"type": "integer", "minimum": 10, "maximum": 112}, ["10", "99", "100", "112"], ["9", "113", "-10", "010"]),
    ({"type": "integer", "minimum": -12, "maximum": 3}, ["-12", "-1", "0", "3"], ["-13", "4", "-0"]),
    ({"type": "integer", "exclusiveMinimum": 5}, ["6", "10", "123456"], ["5", "-6", "0"]),
    ({"type": "integer", "exclusiveMaximum": 0}, ["-1", "-99"], ["0", "1"]),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, ["0.01", "0.99", "0.50"], ["0", "1", "1.00"]),
    ({"type": "number", "minimum": 0.125, "maximum": 1.5}, ["0.125", "1", "1.500"], ["0.124", "1.501", "2"]),
    ({"type": "number", "minimum": -1.5, "maximum": -0.25}, ["-1.50", "-0.25", "-1"], ["-0.24", "1.00", "-1.51"]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"日本語"', '"\\n\\u00e9"'], ['"a"', '"abcd"']),
    ({"type": "string", "maxLength": 0}, ['""'], ['"a"']),
    *(
        (
            {"type": "string", "minLength": least, "maxLength": most},
            [f'"{"é" * length}"' for length in (least, least + 1, (least + most) // 2, most)],
            [f'"{"é" * length}"' for length in (least - 1, most + 1)],
        )
        for least, most in ((1, 33), (7, 43), (10, 77), (34, 1000))
    ),
    ({"type": "string", "minLength": 45}, [f'"{"a" * 45}"', f'"{"a" * 70}"'], [f'"{"a" * 44}"']),
    ({"pattern": "^[a-c]{50}(x{1,40}){,2}$"}, ['"x"'], ["1"]),  # not a count: the answer is checked
    (
        {"pattern": "^[a-c]{50}(x{1,40}){0,2}$"},
        [f'"{"b" * 50}"', f'"{"b" * 50}{"x" * 79}"'],
        [f'"{"b" * 49}"', f'"{"b" * 50}{"x" * 81}"'],
    ),
    (
        {"type": "array", "items": {"const": 1}, "minItems": 40, "maxItems": 60},
        [f"[{','.join('1' * count)}]" for count in (40, 41, 60)],
        [f"[{','.join('1' * count)}]" for count in (39, 61)],
    ),
    ({"type": "string"}, ['""', '"a b"', '"\\"\\\\"'], ['"a', '"\n"']),
    ({"pattern": "^[A-Z]{2}-[0-9]{3}$"}, ['"AB-123"'], ['"AB-12"', '"ab-123"', '"AB-1234"']),
    ({"pattern": "b+"}, ['"abba"', '"b"'], ['"aa"', '""']),
    ({"pattern": r"^(?:yes|no)\.?$"}, ['"yes"', '"no."'], ['"yess"']),
    ({"pattern": r'^[^a-z"]\s\w\d"$'}, ['"A x1\\""'], ['"a x1\\""', '"A x1""']),
    ({"pattern": r"^\\[.]\u0041.$"}, ['"\\\\.Ab"', '"\\\\.A\\""'], ['"\\\\.A"']),
    ({"pattern": r"^a\$b\$$"}, ['"a$b$"'], ['"ab"']),
    ({"pattern": "^(?=a)b$", "maxLength": 2}, ['"zz"'], ['"zzz"']),  # no grammar of it: the answer is checked
    ({"type": "string", "format": "date"}, ['"2026-02-29"'], ['"2026-13-01"', '"today"']),
    ({"anyOf": [{"type": "null"}, of(a={"const": 1})]}, ["null", '{"a":1}'], ["{}"]),
    ({"type": "object", "oneOf": [of(a={"const": 1}), of(b={"const": 2})]}, ['{"a":1}', '{"b":2}'], ['{"a":1,"b":2}']),
    ({"allOf": [of(a={"const": 1}), of(b={"const": 2})]}, ['{"a":1,"b":2}'], ['{"a":1}']),
    (TREE, ['{"v":1,"next":null}', '{"v":1,"next":{"v":2,"next":null}}'], ['{"v":1}', '{"v":1,"next":{}}']),
    (True, ["1", '{"a":[]}'], [""]),
    ({"title": "Anything"}, ['"a"'], ["a"]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=lambda value: json.dumps(value)[:50])
def test_what_a_grammar_takes(schema: Any, good: list[str], bad: list[str]) -> None:
    """A grammar takes what fits its schema, written compactly and in the schema's order, and nothing that does not."""
    assert [] == [text for text in good if not takes(schema, text)]
    assert [] == [text for text in bad if takes(schema, text)]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 3}, "no number between 5 and 3"),
        ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1}, "no number between"),
        ({"type": "strange"}, "no type 'strange'"),
        (of(a=False), "nothing fits"),
    ],
    ids=str,
)
def test_what_has_no_grammar(schema: Any, why: str) -> None:
    """A schema that nothing fits, or that cannot be read, is an error that says why."""
    with pytest.raises(ValueError, match=why):
        ebnf_of(json.dumps(schema))


def test_a_grammar_grows_with_its_schema() -> None:
    """Objects in objects, and properties that may be left out, do not multiply."""
    schema: Any = {"type": "null"}
    for _ in range(12):
        schema = {"type": "object", "properties": dict.fromkeys("abcdef", schema), "additionalProperties": False}
        if len(json.dumps(schema)) > 20_000:
            break
    assert len(ebnf_of(json.dumps(schema))) < 12 * len(json.dumps(schema))


NUMBERS = st.integers(-300, 300) | st.integers(-30, 30).map(lambda number: number / 8)


def bounded(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    low = st.sampled_from(["minimum", "exclusiveMinimum"])
    high = st.sampled_from(["maximum", "exclusiveMaximum"])
    return st.builds(
        lambda low, high, least, room: {"type": kind, low: least, high: least + room},
        low,
        high,
        NUMBERS,
        st.integers(2, 200),
    )


LEAVES = st.one_of(
    st.sampled_from(["integer", "number", "boolean", "null", "string"]).map(lambda kind: {"type": kind}),
    st.sampled_from(["integer", "number"]).flatmap(bounded),
    st.builds(
        lambda least, room: {"type": "string", "minLength": least, "maxLength": least + room}, *[st.integers(0, 4)] * 2
    ),
    st.sampled_from([r"^[a-c]{1,3}$", r"^\d+(,\d+)?$", r"^(x|yy)*$", r"^[^\s\"]+$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern}
    ),
    st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=3), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
)


def holding(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.lists(st.sampled_from(["a", "b", 'q"', "é"]), unique=True, max_size=3)
    objects = names.flatmap(
        lambda names: st.builds(
            lambda values, required, more: {
                "type": "object",
                "properties": dict(zip(names, values, strict=True)),
                "required": required,
                "additionalProperties": more,
            },
            st.lists(inner, min_size=len(names), max_size=len(names)),
            st.lists(st.sampled_from(names), unique=True) if names else st.just([]),
            st.just(False) | inner,
        )
    )
    arrays = st.builds(
        lambda items, least, room: {"type": "array", "items": items, "minItems": least, "maxItems": least + room},
        inner,
        *[st.integers(0, 2)] * 2,
    )
    return objects | arrays | st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options})


SCHEMAS = st.recursive(LEAVES, holding, max_leaves=5)


def walk(matcher: LLMatcher, chance: random.Random) -> str:
    """Some text that the grammar takes, a byte at a time; it is brought to its end when it has become long."""
    text = bytearray()
    ending = b'"}]0'
    while not (matcher.is_accepting() and (len(text) > 60 or chance.random() < 0.3)) and not matcher.is_stopped():
        mask = matcher.compute_logit_bias()
        allowed = [byte for byte in range(256) if mask[byte]]
        if not allowed:
            break
        plain = [byte for byte in allowed if byte < 0x7F] or allowed
        soon = [byte for byte in plain if byte in ending] or plain
        byte = chance.choice(soon if len(text) > 60 else plain)
        assert matcher.consume_token(byte)
        text.append(byte)
        assert len(text) < 3000
    return text.decode()


@given(SCHEMAS, st.integers(0, 2**32))
def test_all_that_a_grammar_takes_fits_its_schema(schema: Any, seed: int) -> None:
    """Whatever way is taken through a grammar, what comes out is compact JSON that fits the schema."""
    text = walk(matcher_of(schema), random.Random(seed))
    value = json.loads(text)
    assert problem_with(value, schema) is None, text
