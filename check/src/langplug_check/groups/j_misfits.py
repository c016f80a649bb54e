"""Group J: answers that are not the object that was asked for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage

from langplug_backend import ChatRequest, Reply
from langplug_check.groups.i_tools import function_of, whole_call
from langplug_check.groups.j_structured_output import BO, METHODS, PROMPT, WITH, Person, Target, target_of
from langplug_check.paths import shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

_AGE_IN_WORDS = {"name": "Bo", "age": "three"}
_CUT = '{"name": "Bo", "age": '
_PROSE = "I would rather not say."


@dataclass(slots=True)
class _Broken:
    """A way in which an answer is no object that was asked for.

    Attributes:
        name: It in words.
        args: What is said as arguments of a call; None where no call is made.
        text: What is said where no tools are offered.
        said: Whether it could be said: on some wires, arguments are objects and never broken.
    """

    name: str
    args: Any
    text: str
    said: bool = field(default=True)

    def __call__(self, asked: ChatRequest) -> Reply:
        """The answer to one request."""
        if not asked.tools or asked.tool_choice == "none" or self.args is None:
            return Reply(text=self.text)
        self.said = isinstance(self.args, Mapping) or asked.dialect not in ("anthropic", "cohere", "ollama")
        name = str(function_of(asked.tools[0])["name"])
        return Reply(calls=(whole_call(name, self.args if self.said else BO),))


def _misfits(target: Target) -> Sequence[_Broken]:
    misfit = _Broken("an object that does not fit", _AGE_IN_WORDS, json.dumps(_AGE_IN_WORDS))
    cut = _Broken("broken JSON", _CUT, _CUT)
    return (misfit, cut) if target.schema is Person else (cut,)  # nobody promised to compare a dict with its schema


def _ways_to_build(subject: Subject, target: Target, broken: _Broken, **kwargs: Any) -> Iterator[tuple[str, Any]]:
    """The chain of the default method, and those of the others that are not refused."""
    yield "by default", target.built(subject.says(broken), **kwargs)
    for method in METHODS:
        chain = target.built(subject.says(broken), method=method, **kwargs)
        if chain is not None:
            yield f"with method={method!r}", chain


@statement(
    "J03",
    "`include_raw=True` gives a dict of raw, parsed and parsing_error, and an answer that cannot be parsed leaves its "
    "error there.",
    why="It is asked for to look at what failed: an exception, or a None without an error, leaves nothing to look at.",
    hint="""
    def _checked(message):
        if message.invalid_tool_calls:   # langchain-core's parsers pass over them
            raise OutputParserException(f"The call is no JSON: {message.invalid_tool_calls[0]['args']}")
        return message

    if include_raw:   # in with_structured_output; `parser` is PydanticToolsParser or JsonOutputKeyToolsParser
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | RunnableLambda(_checked) | parser, parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
    """,
    link=WITH,
    needs=("structured", "replies"),
)
def raw_comes_along(subject: Subject) -> None:
    """Ask with `include_raw` for an object that fits, one that does not, and one of broken JSON, with each method."""
    target = target_of(subject)
    good = _raw(target.built(subject.gives(BO), include_raw=True), "an object that fits")
    if good["parsed"] != target.expected or good["parsing_error"] is not None:
        raise Failed(f"parsed is {good['parsed']!r}, parsing_error {good['parsing_error']!r}", repr(target.expected))
    for broken in _misfits(target):
        for told, chain in _ways_to_build(subject, target, broken, include_raw=True):
            given = _raw(chain, f"{told}, {broken.name}")
            if broken.said and not (given["parsed"] is None and isinstance(given["parsing_error"], BaseException)):
                raise Failed(
                    f"{told}, {broken.name} gives parsed={given['parsed']!r} and "
                    f"parsing_error={given['parsing_error']!r}",
                    "parsed=None, and the error",
                )


def _raw(chain: Any, told: str) -> Mapping[str, Any]:
    try:
        given = chain.invoke(PROMPT)
    except Exception as error:
        raise Failed(f"with include_raw=True, {told} raised {shown(error)}", "the error in parsing_error") from error
    if not isinstance(given, Mapping) or set(given) != {"raw", "parsed", "parsing_error"}:
        raise Failed(f"with include_raw=True, {told} gives {given!r}", "a dict of raw, parsed and parsing_error")
    if not isinstance(given["raw"], AIMessage):
        raise Failed(f"with include_raw=True, {told} gives raw={given['raw']!r}", "an AIMessage")
    return given


@statement(
    "J04",
    "Without `include_raw`, an answer that is missing or does not fit raises; it is never None.",
    why="A None goes unnoticed until something reads a field of it, far away.",
    hint="""
    def _checked(message):
        if not message.tool_calls:   # none at all, or an invalid one: langchain-core's parsers make None of it
            raise OutputParserException(f"The model gave no object, but: {message.text}", llm_output=message.text)
        return message

    def with_structured_output(self, schema, *, include_raw=False, **kwargs):
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain if include_raw else chain.first | RunnableLambda(_checked) | chain.last
    """,
    link=WITH,
    needs=("structured", "replies"),
)
def never_none(subject: Subject) -> None:
    """Have prose said, an object given that does not fit, and broken JSON, with each method."""
    problems: dict[str, list[str]] = {}
    target = target_of(subject)
    for broken in (_Broken("prose", None, _PROSE), *_misfits(target)):
        for told, chain in _ways_to_build(subject, target, broken):
            problem = _no_error(chain, broken)
            if problem:
                problems.setdefault(problem, []).append(told)
    if problems:
        raise Failed("; ".join(f"{', '.join(told)}, {problem}" for problem, told in problems.items()), "an error")


def _no_error(chain: Any, broken: _Broken) -> str:
    try:
        value = chain.invoke(PROMPT)
    except Exception:  # noqa: BLE001 - as it should be
        return ""
    return f"{broken.name} gives {value!r}" if broken.said else ""
