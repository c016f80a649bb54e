"""Group J: answers that are not the object that was asked for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.exceptions import ModelRefusalError
from langchain_core.messages import AIMessage

from langplug_backend import ChatRequest, Reply
from langplug_check.groups._schemas import BO, METHODS, PROMPT, WITH_STRUCTURED_OUTPUT, Person, Target, target_of
from langplug_check.groups._tools import DECLINED, function_of, whole_call
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

_AGE_IN_WORDS = {"name": "Bo", "age": "three"}
_CUT = '{"name": "Bo", "age": '
_PROSE = "I would rather not say."


@dataclass(slots=True)
class _Misfit:
    """An answer that is not the object that was asked for.

    Attributes:
        name: What is wrong with it.
        args: The arguments of the call; None: it makes no call.
        text: The text, if no tools are offered.
        said: Whether it could be given: in some APIs arguments are objects, and never broken.
    """

    name: str
    args: Any
    text: str
    said: bool = field(default=True)

    def __call__(self, request: ChatRequest) -> Reply:
        """The answer to one request."""
        if not request.tools or request.tool_choice == "none" or self.args is None:
            return Reply(text=self.text)
        self.said = isinstance(self.args, Mapping) or request.dialect not in ("anthropic", "cohere", "ollama")
        name = str(function_of(request.tools[0])["name"])
        return Reply(calls=(whole_call(name, self.args if self.said else BO),))


def _misfits(target: Target) -> Sequence[_Misfit]:
    wrong_type = _Misfit("an object that does not fit", _AGE_IN_WORDS, json.dumps(_AGE_IN_WORDS))
    broken = _Misfit("broken JSON", _CUT, _CUT)
    # langchain-core's docstring: with a schema other than a Pydantic class the output "will not be validated".
    return (wrong_type, broken) if target.schema is Person else (broken,)


def _chains(subject: Subject, target: Target, misfit: _Misfit | Reply, **kwargs: Any) -> Iterator[tuple[str, Any]]:
    """The chain with the default method, and those with the others that are not refused."""
    yield "by default", target.chain(subject.says(misfit), **kwargs)
    for method in METHODS:
        chain = target.chain(subject.says(misfit), method=method, **kwargs)
        if chain is not None:
            yield f"with method={method!r}", chain


@statement(
    "J03",
    "`include_raw=True` gives a dict of raw, parsed and parsing_error, and an answer that cannot be parsed leaves its "
    "error there.",
    why="Users ask for it to see what failed: an exception, or a None without an error, leaves nothing to look at.",
    hint="""
    def check_calls(message):
        if message.invalid_tool_calls:   # langchain-core's parsers ignore them
            raise OutputParserException(f"The call is not JSON: {message.invalid_tool_calls[0]['args']}")
        return message

    if include_raw:   # in with_structured_output; `parser` is PydanticToolsParser or JsonOutputKeyToolsParser
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | RunnableLambda(check_calls) | parser, parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "replies"),
)
def raw_comes_along(subject: Subject) -> None:
    """Ask with `include_raw` for an object that fits, one that does not, and one of broken JSON, with each method."""
    target = target_of(subject)
    good = _raw(target.chain(subject.gives(BO), include_raw=True), "an object that fits")
    if good["parsed"] != target.expected or good["parsing_error"] is not None:
        raise Failed(f"parsed is {good['parsed']!r}, parsing_error {good['parsing_error']!r}", repr(target.expected))
    # Broken JSON is an invalid call, which core's parsers do not see: they find no call, and return None without an
    # error. ChatOpenAI, ChatDeepSeek and ChatOpenRouter hand that on.
    for misfit in _misfits(target):
        for which, chain in _chains(subject, target, misfit, include_raw=True):
            given = _raw(chain, f"{which}, {misfit.name}")
            if misfit.said and not (given["parsed"] is None and isinstance(given["parsing_error"], BaseException)):
                raise Failed(
                    f"{which}, {misfit.name} gives parsed={given['parsed']!r} and "
                    f"parsing_error={given['parsing_error']!r}",
                    "parsed=None, and the error",
                )


def _raw(chain: Any, which: str) -> Mapping[str, Any]:
    """The dict of raw, parsed and parsing_error that the chain gives; fail if it gives anything else."""
    try:
        given = chain.invoke(PROMPT)
    except Exception as error:
        raise Failed(
            f"with include_raw=True, {which} raised {error_text(error)}", "the error in parsing_error"
        ) from error
    if not isinstance(given, Mapping) or set(given) != {"raw", "parsed", "parsing_error"}:
        raise Failed(f"with include_raw=True, {which} gives {given!r}", "a dict of raw, parsed and parsing_error")
    if not isinstance(given["raw"], AIMessage):
        raise Failed(f"with include_raw=True, {which} gives raw={given['raw']!r}", "an AIMessage")
    return given


@statement(
    "J04",
    "Without `include_raw`, an answer that is missing or does not fit raises; it is never None.",
    rank="must",
    why="A None goes unnoticed until something reads a field of it, far away.",
    hint="""
    def check_calls(message):
        if not message.tool_calls:   # none at all, or an invalid one: langchain-core's parsers make None of it
            raise OutputParserException(f"The model gave no object, but: {message.text}", llm_output=message.text)
        return message

    def with_structured_output(self, schema, *, include_raw=False, **kwargs):
        chain = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return chain if include_raw else chain.first | RunnableLambda(check_calls) | chain.last
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "replies"),
)
def never_none(subject: Subject) -> None:
    """Have it answer in prose, with an object that does not fit, and with broken JSON, with each method."""
    problems: dict[str, list[str]] = {}
    target = target_of(subject)
    # Prose is the common case: seven of seven integrations that were measured return None for it.
    for misfit in (_Misfit("prose", None, _PROSE), *_misfits(target)):
        for which, chain in _chains(subject, target, misfit):
            try:
                value = chain.invoke(PROMPT)
            except Exception:  # noqa: BLE001, S112 - as it should be
                continue
            if misfit.said:
                problems.setdefault(f"{misfit.name} gives {value!r}", []).append(which)
    if problems:
        raise Failed("; ".join(f"{', '.join(which)}, {problem}" for problem, which in problems.items()), "an error")


@statement(
    "J07",
    "`with_structured_output` of a model that declines raises `ModelRefusalError` after one request, and with "
    "`include_raw=True` that is the `parsing_error`.",
    why="An application catches it to ask another model; as an error of parsing it is asked again, and declines again.",
    hint="""
    # langchain-core's parsers raise it where the message has a refusal block, see L05. In a parser of your own:
    for block in message.content_blocks:
        if block["type"] == "refusal":
            raise ModelRefusalError.from_refusal(block, raw_message=message)
    """,
    link="https://reference.langchain.com/python/langchain-core/exceptions/ModelRefusalError",
    needs=("structured", "refusals", "requests"),
)
def refusals_raise(subject: Subject) -> None:
    """Have it decline with each method, by `invoke` and by `stream`, and with `include_raw`; count the requests."""
    target, declines = target_of(subject), Reply(refusal=DECLINED)

    def check(given: Any, which: str) -> None:
        if not isinstance(given, ModelRefusalError):
            said = error_text(given) if isinstance(given, BaseException) else repr(given)
            raise Failed(f"{which}, a refusal gives {said}", "ModelRefusalError")
        if (times := len(subject.exchanges)) != 1:
            raise Failed(f"{which}, a model that declines was asked {times} times", "once")

    for path in ("invoke", "stream"):
        for which, chain in _chains(subject, target, declines):
            try:
                given = chain.invoke(PROMPT) if path == "invoke" else list(chain.stream(PROMPT))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
                given = error
            check(given, f"{path} {which}")
    for which, chain in _chains(subject, target, declines, include_raw=True):
        raw = _raw(chain, f"{which}, a refusal")
        check(raw["parsing_error"], f"{which} with include_raw=True")
        if raw["parsed"] is not None:
            raise Failed(f"{which} with include_raw=True, a refusal gives parsed={raw['parsed']!r}", "None")
