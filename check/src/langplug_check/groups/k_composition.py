"""Group K: what LangChain builds out of models."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda

from langplug import ChatModel
from langplug_backend import ChatRequest, Fault, Reply
from langplug_check.fields import holds, telling_fields, variants
from langplug_check.paths import error_text
from langplug_check.process.loop import run_on_shared_loop
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_RUNNABLES = "https://reference.langchain.com/python/langchain-core/runnables"

_PREFERRED = ("temperature", "top_p", "max_tokens", "seed", "model", "model_name")
"""Fields that most models have, and whose effect can be seen."""

_PAUSE_S = 0.3
"""Seconds that a slow answer takes."""

_MANY = 8


# --- K01 ---


@statement(
    "K01",
    "A field made configurable takes effect for the call whose config sets it, and for no other.",
    why="Applications let each tenant or experiment choose its settings by config.",
    hint="""
    # declare settings as pydantic fields and read them from `self` at each call:
    # langchain-core makes a copy of the model with the configured values, by the names of its fields
    model_config = ConfigDict(populate_by_name=True)   # so that a field with an alias takes both names
    temperature: float = 0.7
    """,
    link=_RUNNABLES,
    needs=("answer",),
)
def configurable(subject: Subject) -> str:
    """Configure a field; look for the value in the request or, if none is seen, in the start that handlers get."""

    def effect(recorder: Recorder) -> Any:
        if not subject.lacks("backend"):
            return subject.exchanges[-1].body
        started = recorder.of("start")
        return [started[-1].more.get("invocation_params"), started[-1].more.get("metadata")] if started else []

    name, value = _configurable_field(subject, effect(subject.ask(subject.model()).recorder))
    model = subject.model()
    kept = getattr(model, name)
    bound = model.configurable_fields(**{name: ConfigurableField(id="langplug_check")})
    # `RunnableConfigurableFields` passes the model's fields and the configured values to the constructor anew, by the
    # fields' names: what an `__init__` derives from an alias, or keeps outside of the fields, gets lost.
    outcome = subject.ask(bound, config={"configurable": {"langplug_check": value}})
    outcome.answer  # noqa: B018 - an error here is a failure
    if not holds(effect(outcome.recorder), value):
        raise Failed(f"configured with {name}={value!r}, the call was made without it", f"{name}={value!r}")
    after = subject.ask(bound)
    after.answer  # noqa: B018 - an error here is a failure
    if holds(effect(after.recorder), value) or getattr(model, name) != kept:
        raise Failed(f"{name}={value!r} stayed for the next call, which did not ask for it", f"{name}={kept!r}")
    return name


def _configurable_field(subject: Subject, told: Any) -> tuple[str, Any]:
    """A field that changes answers, and another value that the class takes for it.

    Args:
        subject: The model.
        told: What is told of a call without that value, where it would be found in the place of another field.

    Raises:
        NotApplicable: If there is none.
    """
    model = subject.model()
    # What langplug's models say of themselves, such as `tool_calling`, stands in no request by its name.
    ours = () if subject.lacks("backend") else ChatModel.model_fields
    fields = {name: field for name, field in telling_fields(subject.cls).items() if name not in ours}
    for name in [*(name for name in _PREFERRED if name in fields), *fields]:
        for value in variants(fields[name], getattr(model, name)):
            # Values that can be recognised in a request; True is in every one of them.
            if isinstance(value, bool) or not isinstance(value, int | float | str) or holds(told, value):
                continue
            with suppress(Exception):
                subject.model(**{name: value})
                return name, value
    raise NotApplicable("its class has no field of its own that could be configured")


# --- K02 ---


@statement(
    "K02",
    "`with_config`, `with_retry`, `with_fallbacks`, `configurable_alternatives` and prompt | model | parser work, and "
    "the chain streams as the model does.",
    why="This is how applications are put together.",
    hint="""
    # leave `invoke`, `stream`, `transform` and the `with_...` methods as langchain-core has them,
    # and implement `_generate` and `_stream`; errors must be raised, not returned as text
    """,
    link=_RUNNABLES,
    needs=("answer",),
)
def composes(subject: Subject) -> None:
    """Build each out of the model, and compare its answer with that of the model alone."""
    text = subject.answer()
    _check_wrappers(subject, text)
    prompt, given = ChatPromptTemplate.from_messages([("human", "{text}")]), {"text": subject.prompt}
    if (whole := (prompt | subject.model() | StrOutputParser()).invoke(given)) != text:
        raise Failed(f"prompt | model | parser gave {whole!r}", repr(text))
    pieces = [piece for piece in (prompt | subject.model() | StrOutputParser()).stream(given) if piece]
    if "".join(pieces) != text:
        raise Failed(f"prompt | model | parser streamed {''.join(pieces)!r}", repr(text))
    # A chain streams by `transform`, which `Runnable` makes of `stream`: an override of one of them holds it up.
    alone = [chunk for chunk in subject.model().stream(subject.prompt) if chunk.text]
    if len(alone) > 1 and len(pieces) == 1:
        raise Failed(f"the chain gave its answer in one piece; the model alone streams {len(alone)}", "several pieces")
    if subject.lacks("faults"):
        return
    without_retries: dict[str, Any] = {"max_retries": 0} if subject.takes("max_retries") else {}
    failing: Any = subject.suffers(Fault.status(500), **without_retries)
    helped = failing.with_fallbacks([RunnableLambda(lambda _: "helped")]).invoke(subject.prompt)
    if helped != "helped":
        raise Failed(f"the model failed, and its fallback was not asked: {helped!r:.80}", "the fallback's answer")
    recovering: Any = subject.says(Fault.status(500), "again", **without_retries)
    outcome = subject.ask(recovering.with_retry(stop_after_attempt=2, wait_exponential_jitter=False))
    if outcome.text != "again":
        got = error_text(outcome.error) if outcome.error else repr(outcome.text)
        raise Failed(f"with_retry, after one failure, gave {got}", "'again', from the second try")


def _check_wrappers(subject: Subject, text: str) -> None:
    """Fail unless a wrapped model gives the same answer, and the wrapper does what it is there for."""
    other: Any = RunnableLambda(lambda _: "the other")
    wrappers: dict[str, Callable[[Any], Any]] = {
        "with_config": lambda model: model.with_config(tags=["langplug-check"]),
        "with_retry": lambda model: model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False),
        "with_fallbacks": lambda model: model.with_fallbacks([other]),
        "configurable_alternatives": lambda model: model.configurable_alternatives(
            ConfigurableField(id="langplug_check_which"), default_key="this", other=other
        ),
    }
    for name, wrap in wrappers.items():
        outcome = subject.ask(wrap(subject.model()))
        if outcome.error is not None or outcome.text != text:
            got = error_text(outcome.error) if outcome.error else repr(outcome.text)
            raise Failed(f"after {name}, invoke gave {got}", repr(text))
        if name == "with_config" and "langplug-check" not in (outcome.recorder.of("start")[0].more.get("tags") or ()):
            raise Failed("the tag of with_config(tags=...) did not reach handlers", "the tag")
        if name == "configurable_alternatives":
            config = {"configurable": {"langplug_check_which": "other"}}
            chosen = wrap(subject.model()).invoke(subject.prompt, config)
            if chosen != "the other":
                raise Failed(f"with another model chosen by config, the answer was {chosen!r:.80}", "the other's")


# --- K03 to K05 ---


def _batch(model: Any, name: str, prompts: Sequence[str], config: Any = None, **kwargs: Any) -> list[Any]:
    """The results of `batch` or `abatch`."""
    if name == "batch":
        return list(model.batch(list(prompts), config, **kwargs))
    return list(run_on_shared_loop(model.abatch(list(prompts), config, **kwargs)))


@statement(
    "K03",
    "`batch` and `abatch` keep the order of their inputs, and with `return_exceptions=True` a failure does not affect "
    "the other answers.",
    why="Answers are matched to questions by their place.",
    hint="Leave `batch` and `abatch` as langchain-core has them; they call `invoke` and `ainvoke` for each input.",
    link=_RUNNABLES,
    needs=("answer",),
)
def keeps_order(subject: Subject) -> None:
    """Ask for texts that are to be repeated, one of which fails if that is possible."""
    if subject.lacks("replies"):
        prompts = [subject.prompt, f"{subject.prompt} And {subject.prompt}", "Something else, to be told apart."]
        _check_order(subject.model, prompts)
        return
    without_retries = {"max_retries": 0} if subject.takes("max_retries") else {}
    refusal = Fault.status(400)

    def refuse_two(request: ChatRequest) -> str | Reply:
        return Reply(text=request.text, faults=(refusal,)) if request.text == "two" else request.text

    prompts = ["one", "two", "three"]
    _check_order(lambda: subject.says(lambda request: request.text), prompts)
    _check_order(lambda: subject.says(refuse_two, **without_retries), prompts, failing=1)


def _check_order(make: Callable[[], Any], prompts: Sequence[str], failing: int | None = None) -> None:
    """Fail unless a batch gives each prompt the answer that it gets alone; None stands for an error."""
    alone = [None if number == failing else make().invoke(prompt).text for number, prompt in enumerate(prompts)]
    if len(set(alone)) < len(alone):
        raise NotObserved("the model gives the same answer to everything, so its answers cannot be told apart")
    for name in ("batch", "abatch"):
        kwargs = {"return_exceptions": True} if failing is not None else {}
        try:
            results = _batch(make(), name, prompts, **kwargs)
        except Exception as error:
            if failing is None:
                raise
            raise Failed(
                f"{name}(..., return_exceptions=True) raised {error_text(error)}", "it among the results"
            ) from None
        texts = [None if isinstance(result, Exception) else result.text for result in results]
        if texts != alone:
            raise Failed(f"{name}({list(prompts)!r}) gave {texts!r}", repr(alone))


@statement(
    "K04",
    "`abatch` is really concurrent.",
    why="Eight questions that take a second each should take about a second together.",
    hint="""
    # implement `_agenerate` with an async client; langchain-core then awaits all answers together
    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        return self._result(await self._async_client.ask(messages, stop=stop))
    """,
    needs=("pace",),
)
def really_concurrent(subject: Subject) -> str:
    """Compare the time of eight slow answers with that of one."""
    slow = Reply(text="slow", first=_PAUSE_S)
    began = time.perf_counter()
    _batch(subject.says(slow), "abatch", [subject.prompt])
    one = time.perf_counter() - began
    began = time.perf_counter()
    _batch(subject.says(slow), "abatch", [subject.prompt] * _MANY)
    many = time.perf_counter() - began
    # Without `_agenerate`, langchain-core runs `_generate` in asyncio's executor, with four threads more than there are
    # CPUs: eight calls pass there, at worst in two rounds. A lock, or blocking code in `_agenerate`, makes eight.
    if many > one + (_MANY - 1) * _PAUSE_S * 0.7:
        raise Failed(f"{_MANY} answers took {many:.2f} s, where one takes {one:.2f} s", "about as long as one")
    return f"{_MANY} in {many:.2f} s, one in {one:.2f} s"


@statement(
    "K05",
    "`batch_as_completed`, `max_concurrency`, and lists of configs with `run_name` and `run_id` work.",
    rank="could",
    why="They limit a batch, follow it, and find it again in traces.",
    hint="Leave `batch`, `abatch` and `batch_as_completed` as langchain-core has them.",
    link=_RUNNABLES,
    needs=("answer",),
)
def batches_follow_config(subject: Subject) -> None:
    """Number the results, name the runs, and count the requests that are under way at once."""
    numbers = sorted(number for number, _ in subject.model().batch_as_completed([subject.prompt] * 3))
    if numbers != [0, 1, 2]:
        raise Failed(f"batch_as_completed of three inputs numbered its results {numbers}", "[0, 1, 2]")
    for name in ("batch", "abatch"):
        recorder = Recorder()
        wanted = {f"langplug-check-{number}": uuid.uuid4() for number in range(3)}
        configs = [{"callbacks": [recorder], "run_name": run, "run_id": run_id} for run, run_id in wanted.items()]
        _batch(subject.model(), name, [subject.prompt] * 3, configs)
        seen = {event.more.get("name"): event.run_id for event in recorder.of("start")}
        if seen != wanted:
            runs = sorted(map(str, seen))
            raise Failed(f"{name} with a config for each input started the runs {runs}", repr(sorted(wanted)))
        if subject.lacks("pace"):
            continue
        model = subject.says(Reply(text="slow", first=_PAUSE_S / 3))
        _batch(model, name, [subject.prompt] * 3, {"max_concurrency": 1})
        spans = sorted((one.at, one.ended_at or one.at) for one in subject.exchanges)
        # Ten milliseconds of grace: the server notes an end a moment after the client has it.
        if any(later[0] < earlier[1] - 0.01 for earlier, later in pairwise(spans)):
            raise Failed(f"{name} with max_concurrency=1 had several requests under way at once", "one")
