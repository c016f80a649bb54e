"""Group G: cache."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.tools import tool

from langplug_backend import Call, Reply, Tokens
from langplug_check.groups._addresses import ADDRESS
from langplug_check.paths import BUGS, Outcome, PathName, beta_allowed, shown
from langplug_check.recorder import global_cache
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_CACHES = "https://docs.langchain.com/oss/python/integrations/chat"

WHOLE: Sequence[PathName] = ("invoke", "ainvoke")
"""The paths that look into a cache: streams never do."""


class _Counting(InMemoryCache):
    """Keeps what was looked up and put in."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups = 0
        self.kept: list[Sequence[Generation]] = []

    def lookup(self, prompt: str, llm_string: str) -> Any:
        self.lookups += 1
        return super().lookup(prompt, llm_string)

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        self.kept.append(return_val)
        super().update(prompt, llm_string, return_val)


def _cached(model: Any) -> Any:
    """The model, if it uses a cache that is set for all.

    Raises:
        NotApplicable: If it was made with a cache of its own, or none.
    """
    if model.cache not in (None, True):
        raise NotApplicable(f"it was made with cache={model.cache!r:.60}")
    return model


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


@statement(
    "G04",
    "What a call is given enters the cache key: other tools, stop strings or response format mean another entry, "
    "and none puts an object's address into it.",
    why="Else a question with tools is answered out of the cache with what was said without them.",
    hint="""
    # convert tools to plain dicts in bind_tools, so that the key shows what they are
    return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)
    """,
)
def calls_enter_the_key(subject: Subject) -> None:
    """Compare the keys of calls that differ in one thing."""
    model = subject.model()
    keys = {"a plain call": subject.key(model)}
    for name, kwargs in _calls(subject):
        key = subject.key(model, **kwargs)
        if found := ADDRESS.search(key):
            raise Failed(f"the key of a call with {name} holds a memory address, {found[0]}")
        if twin := next((other for other, known in keys.items() if known == key), None):
            raise Failed(f"a call with {name} has the same key as {twin}")
        keys[name] = key


def _calls(subject: Subject) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "stop=['A']", {"stop": ["A"]}
    yield "stop=['B']", {"stop": ["B"]}
    yield "a response format", {"response_format": {"type": "json_object"}}
    if subject.lacks("tools") is None:
        for one in (add, multiply):
            yield f"the tool {one.name}", getattr(subject.model().bind_tools([one]), "kwargs", {})


# --- hits ---


@statement(
    "G01",
    "A cache hit gives the content of the first answer without another call of what answers, by `invoke`, `ainvoke`, "
    "and from one to the other.",
    why="It is what a cache is for: money and time.",
    hint="""
    # equal calls need equal keys: `_identifying_params` holds values, no counter, time or address, and the same
    # in sync and async. Leave generate and agenerate as langchain-core has them, and do not change a message
    # that was given away: the cache holds the same object
    """,
    needs=("answer",),
)
def hits_are_free(subject: Subject) -> None:
    """Ask twice with a cache for all models; count what reaches the function or server, and what is put in."""
    for first, second in (("invoke", "invoke"), ("ainvoke", "ainvoke"), ("invoke", "ainvoke")):
        cache, which = _Counting(), f"{first}, then {second}"
        with global_cache(cache):
            model = _cached(_numbered(subject))
            before = _content(subject.ask(model, None, _path(first)))
            if cache.lookups == 0:
                raise Failed(f"{first} does not look into the cache that is set for all models", "a look")
            after = _content(subject.ask(model, None, _path(second)))
        asked = len(cache.kept) if subject.lacks("requests") else len(subject.exchanges)
        if asked != 1:
            raise Failed(f"{which}: the second, equal call was no hit: the model was asked {asked} times", "once")
        if after != before:
            raise Failed(f"{which}: the hit gave {after}", f"{before}, as the first answer")


def _numbered(subject: Subject) -> Any:
    """A model that gives another answer each time, where it can be made to."""
    if subject.lacks("replies") is None:
        return subject.says("the first answer", "the second answer", "the third answer")
    return subject.model()


def _path(name: str) -> PathName:
    return "ainvoke" if name == "ainvoke" else "invoke"


def _content(outcome: Outcome) -> Mapping[str, Any]:
    message = outcome.answer.model_copy(deep=True)
    return {"content": message.content, "tool_calls": getattr(message, "tool_calls", [])}


@statement(
    "G02",
    "What is put into the cache is the same after `loads(dumps(...))`.",
    why="Caches in SQLite, Redis and other stores keep it as JSON; an in-memory cache hides what would be lost there.",
    hint="""
    # plain JSON data in response_metadata, additional_kwargs and generation_info, and no object of the client's:
    response_metadata={"token_usage": usage.model_dump(mode="json")}
    """,
    link="https://reference.langchain.com/python/langchain-core/load",
    needs=("answer",),
)
def cached_survives_json(subject: Subject) -> None:
    """Dump and load what two answers, one of them a tool call, left in the cache."""
    for name, model in _tellers(subject):
        cache = _Counting()
        with global_cache(cache):
            subject.ask(_cached(model)).answer  # noqa: B018 - an error here is a failure
        if not cache.kept:
            raise NotObserved("nothing is put into the cache that is set for all models")
        for generation in cache.kept[0]:
            _check_stored(name, generation)


def _tellers(subject: Subject) -> Iterator[tuple[str, Any]]:
    yield "an answer", subject.model()
    if subject.lacks("replies") is None:
        yield "an answer with usage", subject.says(Reply(text="Hello.", usage=Tokens(input=11, output=7)))
        if subject.lacks("tools") is None:
            yield "a tool call", subject.says(Reply(calls=(Call(name="add", args={"a": 1, "b": 2}),)))


def _check_stored(name: str, generation: Generation) -> None:
    kind = type(generation.message) if isinstance(generation, ChatGeneration) else AIMessage
    try:
        with beta_allowed():
            loaded = loads(dumps(generation), allowed_objects=[ChatGeneration, kind])
    except Exception as error:
        raise Failed(f"{name} does not survive loads(dumps(...)): {shown(error)}", "plain JSON data") from error
    if loaded != generation:
        raise Failed(f"{name} came back with another {_difference(generation, loaded)}", "the same")


def _difference(generation: Any, loaded: Any) -> str:
    """The fields that are not the same any more; those of the message, where it is another."""
    if isinstance(generation, ChatGeneration) and loaded.message != generation.message:
        generation, loaded = generation.message, loaded.message
    names = [name for name in type(generation).model_fields if getattr(loaded, name, None) != getattr(generation, name)]
    differing = [f"{name}: {getattr(loaded, name, None)!r} for {getattr(generation, name)!r}" for name in names]
    return "; ".join(differing)[:200] or f"type, {type(loaded).__name__}"


_COSTS_NOTHING = {"total_cost": 0}
"""What langchain-core makes of no usage on a hit, and adds to what was reported."""


@statement(
    "G03",
    "A hit has the usage of the first answer, and none where that had none.",
    why="langchain-core turns None into {'total_cost': 0}, which is no UsageMetadata: code that reads input_tokens "
    "breaks, and a history with such a message has another cache key.",
    hint="""
    def _convert_cached_generations(self, cache_val):     # until langchain-core does so
        unreported = [not getattr(one.message, "usage_metadata", None) for one in cache_val]
        hits = super()._convert_cached_generations([one.model_copy() for one in cache_val])
        for hit, was_none in zip(hits, unreported):
            if was_none:
                hit.message = hit.message.model_copy(update={"usage_metadata": None})
        return hits
    """,
    link="https://github.com/langchain-ai/langchain/issues/35308",
    needs=("answer",),
)
def usage_of_a_hit(subject: Subject) -> None:
    """Compare the usage of an answer and its hit, where usage is reported and where none is."""
    for name, model in _reporters(subject):
        for path in WHOLE:
            first, hit = _usage_before_and_after(subject, model, path)
            if hit == first or (first is not None and hit == {**first, **_COSTS_NOTHING}):
                continue
            raise Failed(
                f"{path}, {name}: usage_metadata was {first}, and on a hit it is {hit}",
                f"{first}, as it was",
                blame="langchain-core" if first is None and hit == _COSTS_NOTHING else "model",
            )


def _usage_before_and_after(subject: Subject, model: Any, path: PathName) -> tuple[Any, Any]:
    """What an answer was said to use, and what its hit is."""
    cache = _Counting()
    with global_cache(cache):
        answers = [subject.ask(_cached(model), None, path).answer for _ in range(2)]
    if len(cache.kept) != 1:
        raise NotObserved(f"{path}: the second, equal call was no hit, see G01")
    first, hit = (getattr(answer, "usage_metadata", None) for answer in answers)
    return first, hit


def _reporters(subject: Subject) -> Iterator[tuple[str, Any]]:
    if subject.lacks("replies") is None:
        yield "with usage", subject.says(Reply(text="Hello.", usage=Tokens(input=11, output=7)))
        yield "without usage", subject.says(Reply(text="Hello.", usage_mode="none"))
    else:
        yield "an answer", subject.model()


# --- which cache ---


@statement(
    "G05",
    "`cache=False` passes by the cache that is set for all models, and `cache=True` without one is an error.",
    why="Who says False wants a fresh answer, and who says True must not pay for each call unknowingly.",
    hint="""
    # `cache` is a field of BaseChatModel: leave it, and generate and agenerate, as they are
    """,
    needs=("answer",),
)
def cache_as_it_is_told(subject: Subject) -> None:
    """Ask with `cache=False` while there is a cache, and with `cache=True` while there is none."""
    for path in WHOLE:
        cache = _Counting()
        with global_cache(cache):
            model = subject.model(cache=False)
            subject.ask(model, None, path).answer  # noqa: B018 - an error here is a failure
        if cache.lookups or cache.kept:
            raise Failed(f"{path} with cache=False used the cache that is set for all models", "no look into it")
        with global_cache(None):
            outcome = subject.ask(subject.model(cache=True), None, path)
        if outcome.error is None:
            raise Failed(f"{path} with cache=True, without a cache for all, gave {outcome.text!r:.60}", "ValueError")
        if isinstance(outcome.error, BUGS):
            raise Failed(
                f"{path} with cache=True, while there is no cache, raised {shown(outcome.error)}", "ValueError"
            )
