"""Group F: callbacks. What handlers are called with; errors are in `f_errors`, events in `f_events`."""

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import RunnableLambda

from langplug_backend import ChatRequest
from langplug_check.fields import MARKED_KEY
from langplug_check.groups._runs import FOUR, own_events, own_kinds
from langplug_check.groups._secrets import marked_keys
from langplug_check.groups._streams import event_paths
from langplug_check.groups._usage import SPOKEN, USED, reporting_model
from langplug_check.paths import PathName, ask, error_text
from langplug_check.recorder import Event
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable

# --- starts, ends and tokens ---


@statement(
    "F01",
    "A run has exactly one start and one end on every path, and the end carries the message that the caller gets.",
    why="Traces, cost counters and logs are made of these two: without them the call never happened, or never ended.",
    hint="""
    # implement `_generate` and `_stream` (and their async twins), and leave these as langchain-core has them:
    # invoke, ainvoke, stream, astream, generate, agenerate
    """,
    needs=("answer",),
)
def one_start_one_end(subject: Subject) -> None:
    """Ask by each path with a handler attached; compare the message of `on_llm_end` with the one returned."""

    def facts(message: BaseMessage) -> Mapping[str, Any]:
        return {"text": str(message.text), "tool_calls": getattr(message, "tool_calls", []), "id": message.id}

    for outcome in subject.each_path(subject.model):
        answer = outcome.answer
        if (kinds := own_kinds(outcome.recorder)) != ["start", "end"]:
            raise Failed(f"{outcome.path}: handlers were called with {kinds}", "['start', 'end']")
        # An `LLMResult`: a list of generations for each prompt. `UsageMetadataCallbackHandler` reads the very first.
        generations = [one for several in own_events(outcome.recorder)[-1].value.generations for one in several]
        if not generations or not isinstance(generations[0], ChatGeneration):
            raise Failed(f"{outcome.path}: on_llm_end carries no message")
        if (ended := facts(generations[0].message)) != facts(answer):
            raise Failed(f"{outcome.path}: on_llm_end carries {ended}", f"{facts(answer)}, as was returned")


@statement(
    "F02",
    "A stream calls `on_llm_new_token` for each chunk that it yields, once, with `chunk=`; the tokens join to the "
    "text.",
    why="User interfaces show these tokens: a token that is reported twice is shown twice.",
    hint="""
    # in `_stream` and `_astream`: yield, and call no callback; langchain-core reports each chunk to handlers
    yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    """,
    needs=("answer", "streaming"),
)
def a_token_for_each_chunk(subject: Subject) -> str:
    """Compare what `stream` and `astream` yield with the tokens that a handler gets meanwhile."""
    count = 0
    for outcome in subject.each_path(subject.model, paths=subject.streams):
        outcome.answer  # noqa: B018 - an error here is a failure
        tokens = [event for event in own_events(outcome.recorder) if event.kind == "token"]
        if len(tokens) != len(outcome.chunks):
            raise Failed(f"{outcome.path} yielded {len(outcome.chunks)} chunks and reported {len(tokens)} tokens")
        for number, (event, chunk) in enumerate(zip(tokens, outcome.chunks, strict=True)):
            which, given = f"{outcome.path}: token {number}", event.more.get("chunk")
            # `astream_events` and LangGraph's `stream_mode="messages"` show the chunk, not the token's text.
            if given is None:
                raise Failed(f"{which} was reported without chunk=")
            if given.message != chunk:
                raise Failed(f"{which} has the chunk {given.text!r}", f"{str(chunk.text)!r}, as was yielded")
        joined = "".join(_token_text(event) for event in tokens)
        if joined != outcome.text:
            raise Failed(f"{outcome.path}: the tokens join to {joined!r}", repr(outcome.text))
        count = len(tokens)
    return f"{count} chunks, {count} tokens"


def _token_text(event: Event) -> str:
    """A token's text; a token that is a list of blocks has it in its chunk."""
    if isinstance(event.value, str):
        return event.value
    return str(getattr(event.more.get("chunk"), "text", ""))


_OWN_TOKENS = """
def _stream(self, messages, stop=None, run_manager=None, **kwargs):
    for piece in pieces:
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    # no run_manager.on_llm_new_token: langchain-core calls handlers. If you must call it, call it once for each chunk,
    # with that chunk's own text, and not after the loop with what a variable still holds
"""


@statement(
    "F03",
    "In version 3 of the events, where `run_manager` does reach `_stream`, the tokens that the model itself reports to "
    "handlers join to the text.",
    rank="could",
    why="A token that is reported twice, or once more after the last one, shows in version 3 only, and to users first.",
    hint=_OWN_TOKENS,
    link="https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel",
    needs=("answer", "streaming"),
)
def own_tokens_fit(subject: Subject) -> str:
    """Read version 3, synchronously and asynchronously, also of an empty answer; join the tokens."""
    makers: dict[str, Callable[[], Any]] = {"an answer": subject.model}
    if not subject.lacks("text"):
        # The how-to page's model reports its loop variable after the loop: one token too many and, of an empty answer,
        # an UnboundLocalError. In `stream` it is never called, since that passes no `run_manager`.
        makers["an empty answer"] = lambda: subject.says("")
    count, problems = 0, []
    twins: dict[PathName, PathName] = {"v3": "stream", "av3": "astream"}
    for kind, make in makers.items():
        for outcome in subject.each_path(make, paths=event_paths(subject)):
            tokens = [event for event in own_events(outcome.recorder) if event.kind == "token"]
            joined, twin = "".join(map(_token_text, tokens)), twins[outcome.path]
            if outcome.error is None and tokens and joined != outcome.text:
                problems.append(f"{outcome.path}, {kind}: the tokens join to {joined!r}, not to {outcome.text!r}")
            # Where `stream` fails as well, the `run_manager` is not the reason: then it is for other statements.
            if outcome.error is not None and subject.ask(make(), None, twin).error is None:
                problems.append(f"{outcome.path}, {kind}: it raised {error_text(outcome.error)}, and {twin} works")
            count += len(tokens)
    if problems:
        raise Failed("; ".join(problems))
    return f"{count} tokens reported by the model itself" if count else "the model reports no tokens itself"


# --- the start of a run ---

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
    # langchain-core adds `_type` and `stop`, as long as `_get_invocation_params` is not overridden
    """,
)
def starts_can_be_traced(subject: Subject) -> None:
    """Plant a key; start a run with a stop string, and read what a handler gets."""
    model = subject.model(**marked_keys(subject))
    start = subject.start(model, stop=_STOP)
    params = start.more.get("invocation_params")
    if not isinstance(params, Mapping):
        raise Failed(f"invocation_params is {params!r}", "a dict")
    # One by one, to name the culprit. All of them together can only fail for a reason of their own: a circle, say.
    for name, value in [*params.items(), ("", params)]:
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            which = f"invocation_params[{name!r}] is not JSON data: " if name else ""
            raise Failed(f"{which}{error_text(error)}") from error
    kind = model._llm_type  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a hook that each model must have
    if params.get("_type") != kind:
        raise Failed(f"invocation_params['_type'] is {params.get('_type')!r}", repr(kind))
    if params.get("stop") != _STOP:
        raise Failed(f"invoke(stop={_STOP}): invocation_params['stop'] is {params.get('stop')!r}", repr(_STOP))
    # langchain-core takes `serialized` from `dumpd(self)`. Its id, the path of the class, is all that names the class.
    serialized = start.more["serialized"]
    if not (isinstance(serialized, Mapping) and serialized.get("id")):
        raise Failed(f"`serialized` has no id: {serialized!r:.120}", "the path of the class, as `lc_id()` gives it")
    for name in ("invocation_params", "serialized"):
        if MARKED_KEY in repr(start.more[name]):
            raise Failed(f"the key shows in {name}", "no secret in a trace")


@statement(
    "F09",
    "Tags, metadata, name and id of a run are those that the caller gave, on every path, with `ls_*` in the metadata.",
    why="Users find a trace again by these: by user, by session, by experiment.",
    hint="""
    # an override of invoke, stream, generate, ... must pass on `config`, or `callbacks`, `tags`, `metadata`, `run_name`
    # and `run_id`, whole; it is better to override `_generate` and `_stream` only
    """,
    needs=("answer",),
)
def labels_reach_handlers(subject: Subject) -> None:
    """Ask by each path with labels; read them from the start of the run."""
    for path in subject.paths:
        run_id = uuid4()
        labels = {"tags": ["a-tag"], "metadata": {"user": 7}, "run_name": "a-name", "run_id": run_id}
        outcome = subject.ask(subject.model(), None, path, config=labels)
        outcome.answer  # noqa: B018 - an error here is a failure
        starts = [event for event in own_events(outcome.recorder) if event.kind == "start"]
        if not starts:
            raise Failed(f"{path}: no start of a run was reported to a handler", "on_chat_model_start")
        start, metadata = starts[0], starts[0].more.get("metadata") or {}
        if "a-tag" not in (start.more.get("tags") or ()):
            raise Failed(f"{path}: the run has the tags {start.more.get('tags')}", "['a-tag']")
        if metadata.get("user") != 7:
            raise Failed(f"{path}: the run's metadata has no 'user', only {sorted(metadata)}", "{'user': 7} in it")
        if start.more.get("name") != "a-name":
            raise Failed(f"{path}: the run has the name {start.more.get('name')!r}", "'a-name'")
        if start.run_id != run_id:
            raise Failed(f"{path}: the run has an id other than the one that was given")
        # Each path merges the `ls_*` of `_get_ls_params` into the caller's metadata by its own code.
        if missing := [name for name in ("ls_provider", "ls_model_type") if name not in metadata]:
            raise Failed(f"{path}: the run's metadata has no {', '.join(missing)}, only {sorted(metadata)}")


# --- usage ---


@statement(
    "F10",
    "`get_usage_metadata_callback` counts the same on every path.",
    why="Applications control costs by it: a stream that reports nothing still has to be paid for.",
    hint="""
    # in `_stream`: usage and `model_name` on exactly one chunk; the callback needs both
    yield ChatGenerationChunk(message=AIMessageChunk(
        content="", usage_metadata=usage, response_metadata={"model_name": self.model_name},
    ))
    # OpenAI-compatible servers report usage in a stream only if asked: "stream_options": {"include_usage": True}
    """,
    link="https://docs.langchain.com/oss/python/langchain/models#token-usage",
    needs=("answer",),
)
def usage_on_every_path(subject: Subject) -> str:
    """Ask by each path with the callback attached, and compare its counts."""
    counts: dict[PathName, Any] = {}
    for path in subject.paths:
        # The callback, not the messages: it ignores usage without a `model_name`, and reads `on_llm_end` only.
        with get_usage_metadata_callback() as callback:
            subject.ask(reporting_model(subject), None, path).answer  # noqa: B018 - an error here is a failure
        counts[path] = {
            name: {kind: usage[kind] for kind in ("input_tokens", "output_tokens", "total_tokens")}
            for name, usage in callback.usage_metadata.items()
        }
    whole = counts["invoke"]
    if subject.lacks("replies"):
        if not any(counts.values()):
            raise NotApplicable("it reports no usage")
    else:
        totals = [sum(usage[kind] for usage in whole.values()) for kind in ("input_tokens", "output_tokens")]
        if totals != [USED.input, USED.output]:
            expected = f"{USED.input} and {USED.output} tokens, as the backend reported"
            raise Failed(f"invoke: the callback counted {whole}", expected)
    different = [f"{path} counted {found or 'nothing'}" for path, found in counts.items() if found != whole]
    if different:
        raise Failed(f"{'; '.join(different)}, where invoke counted {whole or 'nothing'}", "the same on every path")
    return str(whole)


# --- contexts ---

_TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


class _ContextRecorder(BaseCallbackHandler):
    """Keeps the value of a context variable, by callback."""

    # On asynchronous paths langchain-core runs other synchronous handlers in a thread, with a copy of the context.
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
    "The caller's context variables reach handlers (and the model's own code in this process), and a run inside a "
    "chain is the chain's child, on all four paths.",
    why="Tenants and credentials travel in context variables, and a trace without parents is a heap of runs.",
    hint="""
    # to run blocking code from async code, use something that copies the context:
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
            model, run_id = subject.model(), uuid4()
            chain = RunnableLambda(lambda given: given) | model
            outcome = ask(chain, subject.prompt, path, config={"run_id": run_id})
            outcome.answer  # noqa: B018 - an error here is a failure
            starts = outcome.recorder.of("start")
            if not starts:
                raise Failed(f"{path}, in a chain: no start of a run was reported to a handler", "on_chat_model_start")
            # The parent comes with the config, or by a context variable of langchain-core's, see `ensure_config`: a
            # model that calls itself in a bare thread loses both.
            if starts[0].parent_run_id != run_id:
                raise Failed(f"{path}, in a chain: the run's parent is {starts[0].parent_run_id}", "the chain's run")
    finally:
        _TENANT.reset(token)


def _check_context(subject: Subject, path: PathName) -> None:
    """Fail unless handlers and, where it is ours, the model's own function see the caller's variable."""
    recorder, inside = _ContextRecorder(), list[str]()

    def respond(_: ChatRequest) -> str:
        inside.append(_TENANT.get())
        return SPOKEN

    # Only a scripted model calls `respond` from its own code; the test backend has threads of its own.
    model = subject.says(respond) if subject.driver.name == "scripted" else subject.model()
    subject.ask(model, None, path, config={"callbacks": [recorder]}).answer  # noqa: B018 - an error here is a failure
    seen = {**recorder.seen, **({"the model's own function": inside[-1]} if inside else {})}
    if lost := [name for name, value in seen.items() if value != "Ann"]:
        raise Failed(f"{path}: in {lost[0]} the caller's context variable is {seen[lost[0]]!r}", "'Ann'")
