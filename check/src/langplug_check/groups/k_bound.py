"""Group K: what is bound and configured stays, whatever is built on top of it."""

from typing import Any

from langchain_core.runnables import ConfigurableField
from pydantic import BaseModel

from langplug_backend import ChatRequest, Reply
from langplug_check.groups._tools import NO_CALL, add, last_request, tool_names
from langplug_check.paths import Outcome
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved


class _Answer(BaseModel):
    """An answer."""

    text: str


@statement(
    "K06",
    "A field that was made configurable stays so in `bind_tools` and `with_structured_output`.",
    why="`create_agent` binds tools: a tenant's own settings are ignored from then on, without a word.",
    hint="""
    # langchain-core's `configurable_fields` hands `bind_tools` to the model as it was made. A class of your own can
    # return a wrapper that binds first, and is configured then; langplug.adopt(model) does
    """,
    link="https://github.com/langchain-ai/langchain/issues/24341",
    needs=("answer", "tools"),
    blame="langchain-core",
)
def stays_configurable(subject: Subject) -> None:
    """Make the temperature configurable, bind tools, and look for a configured one in the start of the run."""
    if "temperature" not in subject.cls.model_fields:
        raise NotApplicable("it has no field `temperature`")
    config = {"configurable": {"langplug_check": 0.25}}

    def ask(build: Any) -> Outcome:
        model: Any = subject.model()
        field = ConfigurableField(id="langplug_check")
        return subject.ask(build(model.configurable_fields(temperature=field)), config=config)

    for which, build in (
        ("alone", lambda model: model),
        ("bind_tools", lambda model: model.bind_tools([add])),
        ("with_structured_output", lambda model: model.with_structured_output(_Answer, include_raw=True)),
    ):
        starts = ask(build).recorder.of("start")
        if not starts:
            raise NotObserved(f"{which}: no run was reported")
        told = starts[-1].more.get("metadata", {}).get("ls_temperature")
        if told != 0.25 and which == "alone":
            raise NotObserved(f"a configured temperature is traced as {told!r}: see K01")
        if told != 0.25:
            raise Failed(f"after {which}, the configured temperature of 0.25 is {told!r}")


@statement(
    "K07",
    "A parameter that is bound holds for each call, beside tools; a call's own takes its place, for that call.",
    why="Bound stop strings or tools that are lost change what a chain does, far from where it was built.",
    hint="""
    # return `self.bind(tools=...)` from bind_tools, which langchain-core merges with what was bound before and after
    return self.bind(tools=formatted, **kwargs)
    """,
    link="https://reference.langchain.com/python/langchain-core/runnables/base/RunnableBinding",
    needs=("replies", "tools", "requests"),
)
def bound_is_kept(subject: Subject) -> None:
    """Bind a tool and then stop strings; call twice, with stop strings of the call's own in between."""
    seen: list[list[str]] = []

    def keep(asked: ChatRequest) -> Reply:
        seen.append(list(asked.stop or ()))
        return Reply(text=NO_CALL)

    model: Any = subject.says(keep)
    bound = model.bind_tools([add]).bind(stop=["FIRST"])
    for given in ({}, {"stop": ["SECOND"]}, {}):
        outcome = subject.ask(bound, **given)
        outcome.answer  # noqa: B018 - an error here is a failure
        if tool_names(last_request(subject)) != [add.name]:
            raise Failed(
                f"after bind(stop=...), the request offers {tool_names(last_request(subject))}", f"[{add.name!r}]"
            )
    # Where the answer is cut in this process, no request has the stop strings.
    if any(seen) and seen[0] != seen[2]:
        raise Failed(f"the stop strings of three calls were {seen}", "the bound ones in the first and third")
    if any(seen) and "SECOND" not in seen[1]:
        raise Failed(f"the stop strings of three calls were {seen}", "the call's own in the second")
