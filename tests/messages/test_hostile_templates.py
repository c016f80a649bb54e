"""Chat templates that would crash, hang or fill the memory of what renders them."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from langplug._messages.prompt import render_prompt
from langplug._messages.template_checks import check_template

DOUBLED = "{%% set ns = namespace(x='aaaaaaaaaa') %%}{%% for i in range(60) %%}%s{%% endfor %%}{{ ns.x }}"

TOO_DEEP = {
    "brackets": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "lists": "{{ " + "[" * 50_000 + "]" * 50_000 + " }}",
    "blocks": "{% if true %}" * 5_000 + "{% endif %}" * 5_000,
    "elif": "{% if x %}" + "{% elif x %}" * 10_000 + "{% endif %}",
    "sums": "{{ 1" + "+1" * 100_000 + " }}",
    "filters": "{{ 'a'" + "|trim" * 10_000 + " }}",
    "not": "{{ " + "not " * 10_000 + "1 }}",
    "captured": "{% set x %}" * 101 + "{% endset %}" * 101,
    "unclosed": "{% for a in b %}{{ (" * 5_000,
    "loops that Python does not take": "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
}
ENDLESS = {
    "a macro that calls itself": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "a range": "{% for i in range(1000000000) %}{% endfor %}",
    "a product": "{{ 'a' * 1000000000 }}",
    "a list": "{{ ([1] * 1000000000) | length }}",
    "a power": "{{ 10 ** (10 ** 10) }}",
    "doubling by +": DOUBLED % "{% set ns.x = ns.x + ns.x %}",
    "doubling by ~": DOUBLED % "{% set ns.x = ns.x ~ ns.x %}",
    "doubling in a block": DOUBLED % "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}",
    "replace": "{% set x = 'a' * 100000 %}{{ x.replace('a', x) }}",
    "replace, a filter": "{% set x = 'a' * 100000 %}{{ x | replace('a', x) }}",
    "join": "{% set x = 'a' * 1000000 %}{{ x.join(x) }}",
    "indent": "{{ ('\\n' * 100000) | indent(100000) }}",
    "a width": "{{ '%1000000000d' % 1 }}",
    "a width of format": "{{ '{:1000000000}'.format(1) }}",
    "a width that is given": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "center": "{{ 'a'.center(1000000000) }}",
    "much text": "{% for i in range(100000) %}{{ 'aaaaaaaaaa' * 1000 }}{% endfor %}",
}
SLOW = {
    "loops in loops": "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
    "loops that leave all out": "{% for i in range(9999) %}{% for j in range(9999) if false %}{% endfor %}{% endfor %}",
    "macros": "{% macro a(n) %}{% if n %}{{ a(n - 1) }}{{ a(n - 1) }}{% endif %}{% endmacro %}{{ a(60) }}",
}


@pytest.mark.parametrize("template", TOO_DEEP.values(), ids=TOO_DEEP)
def test_too_deep(template: str) -> None:
    """A template that is nested too deeply is a ValueError, whatever is nested in it."""
    with pytest.raises(ValueError, match="chat template is too deep"):
        render_prompt([HumanMessage("Hi")], template)


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_endless(template: str) -> None:
    """A template that goes on without end, or makes something huge, is a ValueError, and takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="does not take this conversation"):
            render_prompt([HumanMessage("Hi")], template)
        assert tracemalloc.get_traced_memory()[1] < 500e6
    finally:
        tracemalloc.stop()


@pytest.mark.some(4)
@pytest.mark.parametrize("template", SLOW.values(), ids=SLOW)
def test_slow(template: str) -> None:
    """A template that takes more than some seconds of the processor is a ValueError that says so."""
    began = time.thread_time()
    with pytest.raises(ValueError, match="it takes more than 2 seconds of the processor"):
        render_prompt([HumanMessage("Hi")], template)
    assert time.thread_time() - began < 6


def test_too_long() -> None:
    """A template of more than 256 KiB is a ValueError."""
    with pytest.raises(ValueError, match="has 262,145 characters"):
        check_template("a" * ((1 << 18) + 1))
    check_template("a" * (1 << 18))


@given(
    st.lists(
        st.sampled_from(["{{", "}}", "{%", "%}", "{#", "#}", "'", '"', "\\", "(", "[", "}", "if", "set", "x=", " "])
    )
)
def test_anything_is_read_to_its_end(pieces: list[str]) -> None:
    """Whatever a template's text is, looking at it ends, without an error of another kind."""
    check_template("".join(pieces))


@pytest.mark.parametrize("piece", ["{{", "{%", "{#", "{{ '", '{{ "\\', "{{ (", "{% if x"])
def test_looking_is_linear(piece: str) -> None:
    """Tags, texts and comments that do not end are looked at once."""
    began = time.process_time()
    try:
        check_template(piece * ((1 << 18) // len(piece)))
    except ValueError as error:
        assert "too deep" in str(error)  # noqa: PT017 - many are, but need not be
    assert time.process_time() - began < 2


@given(st.integers(1, 20), st.integers(1, 20))
def test_what_models_have_is_taken(blocks: int, brackets: int) -> None:
    """Blocks and brackets that are closed again count no more, and a chain of blocks is not deep."""
    part = "{% if a %}{{ " + "(" * brackets + "{'}': ']'}" + ")" * brackets + " }}{% elif b %}{% endif %}{# {{ ( #}"
    check_template(("{% for x in y %}" * blocks + part + "{% endfor %}" * blocks) * 50)
