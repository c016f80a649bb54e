"""Group E: streaming. The sum of a stream's chunks, beside what `invoke` gives."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage

from langplug_backend import Reply, Tokens
from langplug_check.groups._streams import kinds_of_answers, streamed_chunks
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_TEXT = "  One\n\n two\t three,  four. \n"

_REPORTED = Reply(text="One two three four.", usage=Tokens(input=11, output=7, cached=3, reasoning=2))


def _reporting_model(subject: Subject, **overrides: Any) -> Any:
    """A model that reports usage with details; one that reports what it likes, where that cannot be chosen."""
    return subject.model(**overrides) if subject.lacks("replies") else subject.says(_REPORTED, **overrides)


_ONCE_HINT = """
# on ONE chunk, best the last: langchain-core concatenates strings, and sums usage
yield ChatGenerationChunk(message=AIMessageChunk(
    content="", usage_metadata=usage, chunk_position="last",
    response_metadata=self._metadata(finish),
))
"""

# --- text ---


@statement(
    "E04",
    "The text is the same on each path, all whitespace included.",
    rank="must",
    why="Code, YAML and tables break when whitespace is lost, and tests that pass with `invoke` prove nothing about a "
    "stream.",
    hint="""
    # one function asks and gives pieces; `_generate` joins them, `_stream` yields them, and neither strips
    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        text = "".join(self._pieces(messages, stop))
    """,
    needs=("answer",),
)
def same_text(subject: Subject) -> None:
    """Have it give a text full of whitespace, or its own answer, and compare the six paths."""
    can_choose = not subject.lacks("text")
    expected = _TEXT if can_choose else subject.answer()
    for outcome in subject.each_path(lambda: subject.says(_TEXT) if can_choose else subject.model()):
        for which, text in (("", outcome.text), ("the message of ", str(outcome.answer.text))):
            if text != expected:
                raise Failed(f"{which}{outcome.path} gave {text!r}", repr(expected))


# --- usage ---


@statement(
    "E05",
    "Usage in a stream is that of `invoke`, details included, and only one chunk reports input tokens.",
    why="Usage is summed over the chunks: reported twice, it costs twice; not reported, nothing.",
    hint=_ONCE_HINT
    + """\
# OpenAI-compatible servers report usage in a stream only if they are asked to:
body["stream_options"] = {"include_usage": True}
""",
    link="https://docs.langchain.com/oss/python/langchain/models#token-usage",
    needs=("answer", "streaming"),
)
def same_usage(subject: Subject) -> str:
    """Have it report usage with details, or what it reports by itself; compare the sums and count the chunks."""
    whole = subject.ask(_reporting_model(subject)).answer.usage_metadata
    # `add_usage` sums over the chunks, so a server that repeats its running total is counted several times
    # (lc#30429, lc#31351), and one that was not asked for usage not at all: ChatOpenAI with a `base_url`.
    for path, chunks in streamed_chunks(subject, lambda: _reporting_model(subject)):
        usage = reduce(add, chunks).usage_metadata
        if whole is None and usage is None:
            raise NotApplicable("it reports no usage: see C02")
        if _counts(usage) != _counts(whole):
            raise Failed(f"the usage of {path} is {_counts_text(usage)}", f"that of invoke, {_counts_text(whole)}")
        with_input = [chunk for chunk in chunks if _counts(chunk.usage_metadata).get("input_tokens")]
        if len(with_input) > 1:
            raise Failed(f"{path}: {len(with_input)} chunks of {len(chunks)} report input tokens", "one chunk")
    return _counts_text(whole)


def _counts(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Usage as a flat dict, without what is 0 or unknown."""
    flat: dict[str, Any] = {}
    for name, value in (usage or {}).items():
        flat |= {f"{name}.{inner}": n for inner, n in value.items()} if isinstance(value, Mapping) else {name: value}
    return {name: value for name, value in flat.items() if value}


def _counts_text(usage: Mapping[str, Any] | None) -> str:
    return "None" if usage is None else ", ".join(f"{name}={value}" for name, value in _counts(usage).items())


# --- metadata ---

_NAMES = ("model_name", "model_provider", "finish_reason", "stop_reason", "done_reason")
"""Metadata by which answers are counted, parsed and judged."""


@statement(
    "E06",
    "The metadata of a stream's sum is not doubled, such as `stopstop`, and has the model, provider and finish reason "
    "that `invoke` has.",
    why="`'stopstop' == 'stop'` is false, and no price list has `gpt-4gpt-4`.",
    hint=_ONCE_HINT,
    needs=("answer", "streaming"),
)
def not_doubled(subject: Subject) -> str:
    """Add up the chunks, and compare the metadata with those of `invoke` and of each chunk."""
    whole: Mapping[str, Any] = subject.ask(_reporting_model(subject)).answer.response_metadata
    compared: dict[str, Any] = {}
    for path, chunks in streamed_chunks(subject, lambda: _reporting_model(subject)):
        summed = reduce(add, chunks).response_metadata
        # `merge_dicts` concatenates strings (all but `id`, `output_version` and `model_provider`) and adds up numbers,
        # equal ones excepted. Any key may be doubled, not only the well-known ones: lc#38366, langchainjs#11054.
        for name, value in summed.items():
            single = [chunk.response_metadata[name] for chunk in chunks if chunk.response_metadata.get(name)]
            if len(single) > 1 and isinstance(value, str | int | float) and value not in (*single, whole.get(name)):
                text = repr(value) if len(repr(value)) <= 80 else f"{value!r:.80}..."
                raise Failed(f"{path}: {len(single)} chunks have {name}, which add up to {text}", repr(single[-1]))
        compared = {name: whole[name] for name in _NAMES if whole.get(name) and summed.get(name)}
        other = [f"{name}={summed[name]!r}" for name, value in compared.items() if summed[name] != value]
        if other:
            expected = ", ".join(f"{name}={value!r}" for name, value in compared.items())
            raise Failed(f"the metadata of {path} has {', '.join(other)}", f"that of invoke, {expected}")
    if not compared and not whole:
        raise NotApplicable("its messages have no metadata: see C03")
    return ", ".join(f"{name}={value!r}" for name, value in compared.items())


@statement(
    "E07",
    "The metadata of a stream has all keys that those of `invoke` have.",
    rank="could",
    why="Code that reads a key finds it in tests, which mostly invoke, and not in the application, which streams.",
    hint="""
    # one function makes them; `_generate` puts them on its message, `_stream` on its last chunk
    def _metadata(self, finish: str) -> dict:
        return {"model_name": self.model_name, "model_provider": "acme", "finish_reason": finish}
    """,
    needs=("answer", "streaming"),
)
def same_keys(subject: Subject) -> None:
    """Add up the chunks, and look for those keys of `invoke`'s metadata that have a value."""
    # The how-to page's own model has `time_in_sec` in its stream, and `time_in_seconds` in its whole answers.
    whole = subject.ask(_reporting_model(subject)).answer.response_metadata
    for path, chunks in streamed_chunks(subject, lambda: _reporting_model(subject)):
        _check_keys(f"the metadata of {path}", reduce(add, chunks).response_metadata, whole)


def _check_keys(which: str, found: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    missing = [name for name, value in whole.items() if value is not None and name not in found]
    if missing:
        keys = ", ".join(sorted(found)) or "none"
        raise Failed(f"{which} lacks {', '.join(missing)}; its keys: {keys}", "all that invoke's has")


# --- invoke, by way of a stream ---


@statement(
    "E12",
    "`streaming=True` is accepted, and changes nothing about what `invoke` gives: text, usage, metadata.",
    rank="could",
    why="LangGraph and `astream_events` make `invoke` read a stream without being asked; costs must not vanish by it.",
    hint="""
streaming: bool = False     # langchain-core reads it, and makes `invoke` add up the chunks of `_stream`
"""
    + _ONCE_HINT,
    needs=("answer",),
)
def streaming_inside(subject: Subject) -> None:
    """Ask models with and without it, synchronously and asynchronously, and compare the messages."""
    try:
        _reporting_model(subject, streaming=True)
    except NotObserved:
        raise
    except Exception as error:
        raise Failed(f"{subject.cls.__name__}(streaming=True) raised {error_text(error)}", "a model") from error
    # `BaseChatModel._should_stream` reads the field, and takes a streaming handler for the same: this is how to get
    # the implicit stream without an event loop.
    for path in ("invoke", "ainvoke"):
        before = subject.ask(_reporting_model(subject), None, path).answer
        after = subject.ask(_reporting_model(subject, streaming=True), None, path).answer
        which = f"{path} with streaming=True"
        if str(before.text) != str(after.text):
            raise Failed(f"{which} gave {str(after.text)!r}", f"{str(before.text)!r}, as without")
        if _counts(before.usage_metadata) != _counts(after.usage_metadata):
            expected = _counts_text(before.usage_metadata)
            raise Failed(f"{which}: the usage is {_counts_text(after.usage_metadata)}", f"{expected}, as without")
        for name in _NAMES:
            was, now = before.response_metadata.get(name), after.response_metadata.get(name)
            if was and now and was != now:
                raise Failed(f"{which}: {name} is {now!r}", f"{was!r}, as without")
        _check_keys(f"{which}: the metadata", after.response_metadata, before.response_metadata)


# --- adding up ---


@statement(
    "E14",
    "The content of all chunks is of one kind, text or a list of blocks, and their sum becomes a message.",
    why="Text and blocks add up to a list of both, which few programs can read.",
    hint="""
    # either text in all chunks
    AIMessageChunk(content=piece)
    # or blocks in all, including the chunks that have no text
    AIMessageChunk(content=[{"type": "text", "text": piece, "index": 0}])    AIMessageChunk(content=[])
    """,
    needs=("answer", "streaming"),
)
def one_kind(subject: Subject) -> None:
    """Stream text, and a tool call where that is possible; look at the chunks' content, and at the sum's message."""
    for kind, make in kinds_of_answers(subject):
        for outcome in subject.each_path(make, paths=subject.streams):
            which = f"{outcome.path}, {kind}"
            message, chunks = outcome.answer, outcome.chunks
            kinds = {type(chunk.content).__name__ for chunk in chunks if chunk.content}
            # `merge_content` puts a string and a list together as a list of a string and blocks.
            blocks = message.content if isinstance(message.content, list) else []
            if len(kinds) > 1 or len({isinstance(block, str) for block in blocks}) > 1:
                first = {type(chunk.content).__name__: chunk.content for chunk in reversed(chunks)}
                examples = " and ".join(f"{content!r:.60}" for content in first.values())
                raise Failed(f"{which}: the content of chunks is {examples}", "one kind")
            if type(message) is not AIMessage or str(message.text) != outcome.text:
                raise Failed(f"{which}: the message of the sum is {message!r:.120}", f"AIMessage({outcome.text!r})")


@statement(
    "E15",
    "Chunks add up to the same message one by one, `a + b + c`, and all at once, `a + [b, c]`.",
    rank="could",
    why="langchain-core adds in both ways, and applications in the first.",
    hint="""
    # yield plain AIMessageChunks. A class of your own must support both:
    def __add__(self, other):
        others = other if isinstance(other, list) else [other]
    """,
    needs=("answer", "streaming"),
)
def adds_up_in_any_way(subject: Subject) -> None:
    """Stream text, and a tool call where that is possible, add up the chunks in both ways, and compare."""
    streams: list[tuple[str, Sequence[Any]]] = [
        (f"{path}, {kind}", chunks)
        for kind, make in kinds_of_answers(subject)
        for path, chunks in streamed_chunks(subject, make)
    ]
    for which, (first, *rest) in streams:
        if not rest:
            raise NotObserved("its answer comes in one chunk")
        one_by_one = reduce(add, rest, first)
        try:
            at_once = first + rest  # as `generate_from_stream` does, for `invoke` by way of a stream
        except Exception as error:
            raise Failed(f"{which}: a + [b, c] raised {error_text(error)}", "what a + b + c gives") from error
        differing = [name for name, value in one_by_one.model_dump().items() if at_once.model_dump()[name] != value]
        if differing:
            name = differing[0]
            was, now = getattr(one_by_one, name), getattr(at_once, name)
            raise Failed(f"{which}: a + [b, c] has {name}={now!r:.80}, and a + b + c {was!r:.80}", "the same")
