"""Group G: cache."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from langplug_backend import Call, Reply, Tokens
from langplug_check.groups._addresses import ADDRESS
from langplug_check.groups._runs import WHOLE
from langplug_check.groups._tools import add, multiply
from langplug_check.paths import BUGS, PathName, allow_beta, error_text
from langplug_check.recorder import global_cache
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved


class _CountingCache(InMemoryCache):
    """Counts the lookups, and keeps what is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups = 0
        self.stored: list[Sequence[Generation]] = []

    def lookup(self, prompt: str, llm_string: str) -> Any:
        self.lookups += 1
        return super().lookup(prompt, llm_string)

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        self.stored.append(return_val)
        super().update(prompt, llm_string, return_val)


def _cached_model(model: Any) -> Any:
    """The model, if it uses the global cache.

    Raises:
        NotApplicable: If it was made with a cache of its own, or with none.
    """
    if model.cache not in (None, True):
        raise NotApplicable(f"it was made with cache={model.cache!r:.60}")
    return model


@statement(
    "G04",
    "The arguments of a call are part of the cache key: other tools, stop strings or response format mean another "
    "entry, and none puts an object's address into the key.",
    rank="must",
    why="Otherwise a question with tools is answered from the cache with what was said without them.",
    hint="""
    # convert tools to plain dicts in bind_tools, so that the key shows what they are
    return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)
    """,
)
def calls_enter_the_key(subject: Subject) -> None:
    """Compare the keys of calls that differ in one thing."""
    calls: dict[str, Mapping[str, Any]] = {
        "stop=['A']": {"stop": ["A"]},
        "stop=['B']": {"stop": ["B"]},
        "a response format": {"response_format": {"type": "json_object"}},
    }
    if not subject.lacks("tools"):
        for tool in (add, multiply):
            bound: Any = subject.model().bind_tools([tool])
            calls[f"the tool {tool.name}"] = getattr(bound, "kwargs", {})
    model = subject.model()
    keys = {"a plain call": subject.key(model)}
    for name, kwargs in calls.items():
        # `_get_llm_string` writes the keyword arguments by `str`: a tool that is still a function is `<function ...>`.
        key = subject.key(model, **kwargs)
        if found := ADDRESS.search(key):
            raise Failed(f"the key of a call with {name} has a memory address in it, {found[0]}")
        if twin := next((other for other, known in keys.items() if known == key), None):
            raise Failed(f"a call with {name} has the same key as {twin}")
        keys[name] = key


# --- hits ---


@statement(
    "G01",
    "A cache hit gives the content of the first answer without another call to the backend, by `invoke`, `ainvoke`, "
    "and across the two.",
    rank="must",
    why="A cache is there to save money and time.",
    hint="""
    # equal calls need equal keys: `_identifying_params` holds values, no counter, time or address, and the same
    # in sync and async. Leave generate and agenerate as langchain-core has them, and do not change a message
    # after it was returned: the cache holds the same object
    """,
    needs=("answer",),
)
def hits_are_free(subject: Subject) -> None:
    """Ask twice with a global cache; count what reaches the backend, and what is stored."""

    def content(path: PathName, model: Any) -> Mapping[str, Any]:
        # A copy: `InMemoryCache` returns the very object that the first caller has.
        message = subject.ask(model, None, path).answer.model_copy(deep=True)
        return {"content": message.content, "tool_calls": getattr(message, "tool_calls", [])}

    pairs: Sequence[tuple[PathName, PathName]] = (("invoke", "invoke"), ("ainvoke", "ainvoke"), ("invoke", "ainvoke"))
    for first, second in pairs:
        cache, which = _CountingCache(), f"{first}, then {second}"
        with global_cache(cache):
            # Another answer each time, where that can be chosen: a second call that is no hit shows in the text.
            texts = ("the first answer", "the second answer", "the third answer")
            model = _cached_model(subject.model() if subject.lacks("replies") else subject.says(*texts))
            before = content(first, model)
            if cache.lookups == 0:
                raise Failed(f"{first} does not look into the global cache", "a lookup")
            after = content(second, model)
        calls = len(cache.stored) if subject.lacks("requests") else len(subject.exchanges)
        if calls != 1:
            raise Failed(f"{which}: the second, equal call was not a hit: the model was asked {calls} times", "once")
        if after != before:
            raise Failed(f"{which}: the hit gave {after}", f"{before}, as the first answer")


@statement(
    "G02",
    "What is stored in the cache is the same after `loads(dumps(...))`.",
    why="Caches in SQLite, Redis and other stores keep it as JSON; an in-memory cache hides what would be lost there.",
    hint="""
    # plain JSON data in response_metadata, additional_kwargs and generation_info, no objects of the client's:
    response_metadata={"token_usage": usage.model_dump(mode="json")}
    """,
    link="https://reference.langchain.com/python/langchain-core/load",
    needs=("answer",),
)
def cached_survives_json(subject: Subject) -> None:
    """Dump and load what several answers, one of them a tool call, left in the cache."""
    makers: dict[str, Callable[[], Any]] = {"an answer": subject.model}
    if not subject.lacks("replies"):
        with_usage = Reply(text="Hello.", usage=Tokens(input=11, output=7))
        makers["an answer with usage"] = lambda: subject.says(with_usage)
        if not subject.lacks("tools"):
            with_call = Reply(calls=(Call(name="add", args={"a": 1, "b": 2}),))
            makers["a tool call"] = lambda: subject.says(with_call)
    for name, make in makers.items():
        cache = _CountingCache()
        with global_cache(cache):
            subject.ask(_cached_model(make())).answer  # noqa: B018 - an error here is a failure
        if not cache.stored:
            raise NotObserved("nothing is stored in the global cache")
        for generation in cache.stored[0]:
            _check_round_trip(name, generation)


def _check_round_trip(name: str, generation: Any) -> None:
    kind = type(generation.message) if isinstance(generation, ChatGeneration) else AIMessage
    try:
        with allow_beta():
            loaded: Any = loads(dumps(generation), allowed_objects=[ChatGeneration, kind])
    except Exception as error:
        raise Failed(f"{name} does not survive loads(dumps(...)): {error_text(error)}", "plain JSON data") from error
    if loaded == generation:
        return
    # Say which field: of the message, if that is what differs; otherwise of the generation, such as `generation_info`.
    before, after = generation, loaded
    if isinstance(generation, ChatGeneration) and loaded.message != generation.message:
        before, after = generation.message, loaded.message
    fields = {name: (getattr(before, name), getattr(after, name, None)) for name in type(before).model_fields}
    changed = [f"{name}: {new!r} for {old!r}" for name, (old, new) in fields.items() if old != new]
    what = "; ".join(changed)[:200] or f"type, {type(after).__name__}"
    raise Failed(f"{name} came back with another {what}", "the same")


_COSTS_NOTHING = {"total_cost": 0}
"""What `_convert_cached_generations` of langchain-core adds to the usage on a hit, even where there is none."""


@statement(
    "G03",
    "A hit has the usage of the first answer, and none if that had none.",
    rank="could",
    why="langchain-core turns None into {'total_cost': 0}, which is not a UsageMetadata: code that reads input_tokens "
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
    makers: dict[str, Callable[[], Any]] = {"an answer": subject.model}
    if not subject.lacks("replies"):
        makers = {
            "with usage": lambda: subject.says(Reply(text="Hello.", usage=Tokens(input=11, output=7))),
            "without usage": lambda: subject.says(Reply(text="Hello.", usage_mode="none")),
        }
    for name, make in makers.items():
        model = make()
        for path in WHOLE:
            cache = _CountingCache()
            with global_cache(cache):
                answers = [subject.ask(_cached_model(model), None, path).answer for _ in range(2)]
            if len(cache.stored) != 1:
                raise NotObserved(f"{path}: the second, equal call was not a hit, see G01")
            first, hit = (getattr(answer, "usage_metadata", None) for answer in answers)
            # A cost of 0 beside the tokens is right: a hit costs nothing.
            if hit == first or (first is not None and hit == {**first, **_COSTS_NOTHING}):
                continue
            raise Failed(
                f"{path}, {name}: usage_metadata was {first}, and on a hit it is {hit}",
                f"{first}, as it was",
                blame="langchain-core" if first is None and hit == _COSTS_NOTHING else "model",
            )


# --- which cache ---


@statement(
    "G05",
    "`cache=False` bypasses the global cache, and `cache=True` without one is an error.",
    why="Users who say False want a fresh answer, and users who say True must not pay for each call unknowingly.",
    hint="""
    # `cache` is a field of BaseChatModel: leave it, and generate and agenerate, as they are
    """,
    needs=("answer",),
)
def cache_is_obeyed(subject: Subject) -> None:
    """Ask with `cache=False` while there is a global cache, and with `cache=True` while there is none."""
    for path in WHOLE:
        cache = _CountingCache()
        with global_cache(cache):
            model = subject.model(cache=False)
            subject.ask(model, None, path).answer  # noqa: B018 - an error here is a failure
        if cache.lookups or cache.stored:
            raise Failed(f"{path} with cache=False used the global cache", "no lookup")
        with global_cache(None):
            outcome = subject.ask(subject.model(cache=True), None, path)
        if outcome.error is None:
            raise Failed(f"{path} with cache=True, without a global cache, gave {outcome.text!r:.60}", "ValueError")
        if isinstance(outcome.error, BUGS):
            error = error_text(outcome.error)
            raise Failed(f"{path} with cache=True, without a global cache, raised {error}", "ValueError")
