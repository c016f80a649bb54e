"""Group F: callbacks. What handlers are told; errors are in `f_errors`, events in `f_events`."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import RunnableLambda

from langplug_backend import ChatRequest, Reply, Tokens
from langplug_check.fields import MARKED_KEY, argument_name, secret_fields
from langplug_check.paths import PATHS, Outcome, PathName, ask, shown
from langplug_check.recorder import Event, Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable

FOUR: Sequence[PathName] = ("invoke", "ainvoke", "stream", "astream")
"""The paths that every Runnable has."""


def ways(subject: Subject) -> Sequence[PathName]:
    """The paths that lead to an answer: version 3 of the events knows no way to a model that cannot stream."""
    return tuple(PATHS) if subject.overrides("_stream") or subject.overrides("_astream") else FOUR


def streams_by(subject: Subject) -> Sequence[PathName]:
    """Those of `stream` and `astream` that the class streams by, and does not answer as a whole."""
    return ("stream", "astream") if subject.overrides("_stream") else ("astream",)


def own(recorder: Recorder) -> list[Event]:
    """The events of the run itself; those of a model that is asked by the model under check have a parent."""
    return [event for event in recorder.events if event.parent_run_id is None]


def own_kinds(recorder: Recorder) -> list[str]:
    """Their kinds, tokens left out."""
    return [event.kind for event in own(recorder) if event.kind != "token"]


# --- starts, ends and tokens ---


@statement(
    "F01",
    "A run has exactly one start and one end on every path, and the end carries the message that the caller gets.",
    why="Traces, cost counters and logs are made of these two: without them the call never happened, or never ended.",
    hint="""
    # write `_generate` and `_stream` (and their async twins), and leave these as langchain-core has them:
    # invoke, ainvoke, stream, astream, generate, agenerate
    """,
    needs=("answer",),
)
def one_start_one_end(subject: Subject) -> None:
    """Ask by each path with a handler that listens; compare what the end told with what was returned."""
    for outcome in subject.each_path(subject.model, paths=ways(subject)):
        answer = outcome.answer
        if (kinds := own_kinds(outcome.recorder)) != ["start", "end"]:
            raise Failed(f"{outcome.path}: handlers were told {kinds}", "['start', 'end']")
        ended = _message_of(own(outcome.recorder)[-1])
        if ended is None:
            raise Failed(f"{outcome.path}: on_llm_end carries no message")
        if _told(ended) != _told(answer):
            raise Failed(f"{outcome.path}: on_llm_end carries {_told(ended)}", f"{_told(answer)}, as was returned")


def _message_of(end: Event) -> BaseMessage | None:
    generations = [one for several in end.value.generations for one in several]
    return generations[0].message if generations and isinstance(generations[0], ChatGeneration) else None


def _told(message: BaseMessage) -> Mapping[str, Any]:
    return {"text": str(message.text), "tool_calls": getattr(message, "tool_calls", []), "id": message.id}


@statement(
    "F02",
    "A stream tells `on_llm_new_token` of each chunk that it yields, once, with `chunk=`; the tokens join to the text.",
    why="User interfaces show these tokens: what is told twice is shown twice.",
    hint="""
    # in `_stream` and `_astream`: yield, and call no callback; langchain-core tells handlers of each chunk
    yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    """,
    needs=("answer", "streaming"),
)
def a_token_for_each_chunk(subject: Subject) -> str:
    """Compare what `stream` and `astream` yield with what a handler is told meanwhile."""
    count = 0
    for outcome in subject.each_path(subject.model, paths=streams_by(subject)):
        outcome.answer  # noqa: B018 - an error here is a failure
        told = [event for event in own(outcome.recorder) if event.kind == "token"]
        if len(told) != len(outcome.chunks):
            raise Failed(f"{outcome.path} yielded {len(outcome.chunks)} chunks and told of {len(told)} tokens")
        for number, (event, chunk) in enumerate(zip(told, outcome.chunks, strict=True)):
            _check_chunk(f"{outcome.path}: token {number}", event, chunk)
        joined = "".join(_text(event) for event in told)
        if joined != outcome.text:
            raise Failed(f"{outcome.path}: the tokens join to {joined!r}", repr(outcome.text))
        count = len(told)
    return f"{count} chunks, {count} tokens"


def _check_chunk(which: str, event: Event, chunk: Any) -> None:
    given = event.more.get("chunk")
    if given is None:
        raise Failed(f"{which} was told without chunk=")
    if given.message != chunk:
        raise Failed(f"{which} has the chunk {given.text!r}", f"{str(chunk.text)!r}, as was yielded")


def _text(event: Event) -> str:
    """A token's text; a token that is a list of blocks has it in its chunk."""
    if isinstance(event.value, str):
        return event.value
    return str(getattr(event.more.get("chunk"), "text", ""))


_OWN_TOKENS = """
def _stream(self, messages, stop=None, run_manager=None, **kwargs):
    for piece in pieces:
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    # no run_manager.on_llm_new_token: langchain-core tells handlers. Where you must call it, call it once a chunk
    # with that chunk's own text, and not behind the loop with what a variable still holds
"""


@statement(
    "F03",
    "In version 3 of the events, where `run_manager` does reach `_stream`, the tokens that the model tells handlers of "
    "by itself join to the text.",
    why="A token that is told twice, or behind the last one, is seen in version 3 alone, and by users first.",
    hint=_OWN_TOKENS,
    link="https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel",
    needs=("answer", "streaming"),
)
def own_tokens_fit(subject: Subject) -> str:
    """Read version 3, synchronously and asynchronously, also of an empty answer; join the tokens."""
    told, problems = 0, list[str]()
    for name, make in _speakers(subject):
        for outcome in subject.each_path(make, paths=("v3", "av3")):
            tokens = [event for event in own(outcome.recorder) if event.kind == "token"]
            joined = "".join(map(_text, tokens))
            if outcome.error is not None:
                problems += _where_streams_work(subject, make, name, outcome)
            elif tokens and joined != outcome.text:
                problems.append(
                    f"{outcome.path}, {name}: the tokens join to {joined!r}, and the text is {outcome.text!r}"
                )
            told += len(tokens)
    if problems:
        raise Failed("; ".join(problems))
    return f"{told} tokens told by the model itself" if told else "the model tells no tokens by itself"


def _speakers(subject: Subject) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "an answer", subject.model
    if subject.lacks("text") is None:
        yield "an empty answer", lambda: subject.says("")


def _where_streams_work(subject: Subject, make: Callable[[], Any], name: str, outcome: Outcome) -> Iterator[str]:
    """Where `stream` works, which gives `_stream` no `run_manager`, it is this that made the difference."""
    twin: PathName = "stream" if outcome.path == "v3" and "stream" in streams_by(subject) else "astream"
    if subject.ask(make(), None, twin).error is None:
        yield f"{outcome.path}, {name}: it raised {shown(outcome.error)}, where {twin} works"


# --- what a run is told of ---

_STOP = ["END-OF-ALL"]


@statement(
    "F08",
    "`on_chat_model_start` has `invocation_params` that are JSON data, with `_type` and `stop`, a `serialized` with an "
    "id, and no secret.",
    why="Tracers send both away as JSON, and show by them what was asked of which model.",
    hint="""
    @property
    def _identifying_params(self):
        return {"model": self.model, "temperature": self.temperature}   # plain data, no objects and no key
    # `_type` and `stop` are langchain-core's work, as long as `_get_invocation_params` is not overridden
    """,
)
def starts_can_be_traced(subject: Subject) -> None:
    """Plant a key, and read what a handler is told as a run starts that stops at a string."""
    keys = {argument_name(subject.cls, name): MARKED_KEY for name in secret_fields(subject.cls)}
    model = subject.model(**keys)
    start = subject.start(model, stop=_STOP)
    params = start.more.get("invocation_params")
    if not isinstance(params, Mapping):
        raise Failed(f"invocation_params are {params!r}", "a dict")
    try:
        json.dumps(params)
    except (TypeError, ValueError) as error:
        odd = [name for name, value in params.items() if not _is_json(value)]
        raise Failed(f"invocation_params[{odd[0]!r}] is no JSON: {shown(error)}" if odd else shown(error)) from error
    kind = model._llm_type  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a hook that each model must have
    if params.get("_type") != kind:
        raise Failed(f"invocation_params['_type'] is {params.get('_type')!r}", repr(kind))
    if params.get("stop") != _STOP:
        raise Failed(f"invoke(stop={_STOP}): invocation_params['stop'] is {params.get('stop')!r}", repr(_STOP))
    _check_serialized(start.more["serialized"])
    for name in ("invocation_params", "serialized"):
        if MARKED_KEY in repr(start.more[name]):
            raise Failed(f"the key shows in {name}", "no secret in a trace")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _check_serialized(serialized: Any) -> None:
    path = serialized.get("id") if isinstance(serialized, Mapping) else None
    if not path:
        raise Failed(f"`serialized` has no id: {serialized!r:.120}", "the path of the class, as `lc_id()` gives it")


@statement(
    "F09",
    "Tags, metadata, name and id of a run are those that the caller gave, on every path, with `ls_*` in the metadata.",
    why="By them a trace is found again: by user, by session, by experiment.",
    hint="""
    # an override of invoke, stream, generate, ... hands on `config`, or `callbacks`, `tags`, `metadata`, `run_name`
    # and `run_id`, whole; better to override `_generate` and `_stream` alone
    """,
    needs=("answer",),
)
def labels_reach_handlers(subject: Subject) -> None:
    """Ask by each path with labels; read them from the start."""
    for path in ways(subject):
        run_id = uuid4()
        labels = {"tags": ["a-tag"], "metadata": {"user": 7}, "run_name": "a-name", "run_id": run_id}
        outcome = subject.ask(subject.model(), None, path, config=labels)
        outcome.answer  # noqa: B018 - an error here is a failure
        starts = [event for event in own(outcome.recorder) if event.kind == "start"]
        if not starts:
            raise Failed(f"{path}: no start of a run was reported to a handler", "on_chat_model_start")
        _check_labels(path, starts[0], run_id)


def _check_labels(path: PathName, start: Event, run_id: UUID) -> None:
    metadata = start.more.get("metadata") or {}
    if "a-tag" not in (start.more.get("tags") or ()):
        raise Failed(f"{path}: the run has the tags {start.more.get('tags')}", "['a-tag']")
    if metadata.get("user") != 7:
        raise Failed(f"{path}: the run's metadata have no 'user', only {sorted(metadata)}", "{'user': 7} among them")
    if start.more.get("name") != "a-name":
        raise Failed(f"{path}: the run has the name {start.more.get('name')!r}", "'a-name'")
    if start.run_id != run_id:
        raise Failed(f"{path}: the run has another id than the one that was given")
    if missing := [name for name in ("ls_provider", "ls_model_type") if name not in metadata]:
        raise Failed(f"{path}: the run's metadata have no {', '.join(missing)}, only {sorted(metadata)}")


# --- usage ---

USED = Tokens(input=11, output=7)
"""What is reported where it can be chosen."""

SPOKEN = "Hello world, how are you today?"


def reporting(subject: Subject, **overrides: Any) -> Any:
    """A model that reports usage, where it can be made to."""
    if subject.lacks("replies"):
        return subject.model(**overrides)
    return subject.says(Reply(text=SPOKEN, usage=USED), **overrides)


@statement(
    "F10",
    "`get_usage_metadata_callback` counts the same on every path.",
    why="It is how costs are kept under control: what a stream does not report is paid all the same.",
    hint="""
    # in `_stream`: usage and `model_name` on exactly one chunk; the callback looks for both
    yield ChatGenerationChunk(message=AIMessageChunk(
        content="", usage_metadata=usage, response_metadata={"model_name": self.model_name},
    ))
    # over OpenAI's wire a server reports usage in a stream only if asked: "stream_options": {"include_usage": True}
    """,
    link="https://docs.langchain.com/oss/python/langchain/models#token-usage",
    needs=("answer",),
)
def usage_on_every_path(subject: Subject) -> str:
    """Ask by each path within the callback, and compare what it counted."""
    counted = {path: _counted(subject, path) for path in ways(subject)}
    whole = counted["invoke"]
    if subject.lacks("replies"):
        if not any(counted.values()):
            raise NotApplicable("it reports no usage")
    elif _sums(whole) != (USED.input, USED.output):
        raise Failed(
            f"invoke: the callback counted {whole}", f"{USED.input} and {USED.output} tokens, as was reported to it"
        )
    different = [f"{path} counted {found or 'nothing'}" for path, found in counted.items() if found != whole]
    if different:
        raise Failed(f"{'; '.join(different)}, where invoke counted {whole or 'nothing'}", "the same on every path")
    return str(whole)


def same_usage(subject: Subject, one: Any, other: Any) -> bool:
    """Whether two messages report the same; where usage cannot be chosen, whether both report any."""
    if subject.lacks("replies") is None:
        return _totals(one) == _totals(other)
    return (one is None) is (other is None)


def in_words(usage: Any) -> str:
    """Usage, for a report."""
    return f"a usage of {usage['input_tokens']} and {usage['output_tokens']} tokens" if usage else "no usage"


def _totals(usage: Any) -> tuple[Any, ...]:
    return tuple((usage or {}).get(name) for name in ("input_tokens", "output_tokens", "total_tokens"))


def _counted(subject: Subject, path: PathName) -> Mapping[str, Any]:
    """By model, what the callback has of its tokens."""
    with get_usage_metadata_callback() as callback:
        subject.ask(reporting(subject), None, path).answer  # noqa: B018 - an error here is a failure
    return {
        name: {kind: usage[kind] for kind in ("input_tokens", "output_tokens", "total_tokens")}
        for name, usage in callback.usage_metadata.items()
    }


def _sums(counted: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
    return sum(one["input_tokens"] for one in counted.values()), sum(one["output_tokens"] for one in counted.values())


# --- contexts ---

_TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


class _Witness(BaseCallbackHandler):
    """Keeps what a context variable is, each time that it hears of a run."""

    run_inline = True

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.seen["on_chat_model_start"] = _TENANT.get()

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        self.seen["on_llm_new_token"] = _TENANT.get()

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.seen["on_llm_end"] = _TENANT.get()


@statement(
    "F16",
    "Context variables of the caller reach handlers (and code of the model's in this process), and a run inside a "
    "chain is the chain's child, on all four paths.",
    why="Tenants and credentials travel in context variables, and a trace without parents is a heap of runs.",
    hint="""
    # to run blocking code from async code, use what copies the context:
    await run_in_executor(None, self._generate, messages, stop)   # langchain_core.runnables.config
    # and neither loop.run_in_executor nor threading.Thread without contextvars.copy_context().run
    """,
    link="https://docs.python.org/3/library/contextvars.html",
    needs=("answer",),
)
def context_and_parents(subject: Subject) -> None:
    """Set a variable, ask inside a chain whose run has a known id, and read both from handlers."""
    token = _TENANT.set("Ann")
    try:
        for path in FOUR:
            _check_context(subject, path)
            _check_parent(subject, path)
    finally:
        _TENANT.reset(token)


def _check_context(subject: Subject, path: PathName) -> None:
    witness, inside = _Witness(), list[str]()
    scripted = subject.voice.name == "scripted"  # only there is what answers called by the model's own code

    def speak(_: ChatRequest) -> str:
        inside.append(_TENANT.get())
        return SPOKEN

    model = subject.says(speak) if scripted else subject.model()
    subject.ask(model, None, path, config={"callbacks": [witness]}).answer  # noqa: B018 - an error here is a failure
    seen = {**witness.seen, **({"the model's own function": inside[-1]} if inside else {})}
    if lost := [name for name, value in seen.items() if value != "Ann"]:
        raise Failed(f"{path}: in {lost[0]} the caller's context variable is {seen[lost[0]]!r}", "'Ann'")


def _check_parent(subject: Subject, path: PathName) -> None:
    model, run_id = subject.model(), uuid4()
    chain = RunnableLambda(lambda given: given) | model
    outcome = ask(chain, subject.prompt, path, config={"run_id": run_id})
    outcome.answer  # noqa: B018 - an error here is a failure
    starts = outcome.recorder.of("start")
    if not starts:
        raise Failed(f"{path}, in a chain: no start of a run was reported to a handler", "on_chat_model_start")
    if starts[0].parent_run_id != run_id:
        raise Failed(f"{path}, in a chain: the run's parent is {starts[0].parent_run_id}", "the chain's run")
