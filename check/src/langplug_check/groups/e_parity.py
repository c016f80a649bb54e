"""Group E: streaming. What the chunks add up to, beside what `invoke` gives."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage

from langplug_backend import Reply, Tokens
from langplug_check.groups.e_streaming import answers, streamed
from langplug_check.paths import Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_TEXT = "  One\n\n two\t three,  four. \n"

_REPORTED = Reply(text="One two three four.", usage=Tokens(input=11, output=7, cached=3, reasoning=2))

_ONCE_HINT = """
# on ONE chunk, best the last: langchain-core puts texts one behind the other, and sums usage
yield ChatGenerationChunk(message=AIMessageChunk(
    content="", usage_metadata=usage, chunk_position="last",
    response_metadata=self._metadata(finish),
))
"""

# --- text ---


@statement(
    "E04",
    "The text is the same on each path, every blank and line end included.",
    why="Code, YAML and tables break when blanks are lost, and tests that pass with `invoke` say nothing of a stream.",
    hint="""
    # one function asks and gives pieces; `_generate` joins them, `_stream` yields them, and neither strips
    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        text = "".join(self._pieces(messages, stop))
    """,
    needs=("answer",),
)
def same_text(subject: Subject) -> None:
    """Have it say a text full of blanks, or what it says by itself, and compare what each of six paths gives."""
    chosen = not subject.lacks("text")
    expected = _TEXT if chosen else subject.answer()
    for outcome in subject.each_path(lambda: subject.says(_TEXT) if chosen else subject.model()):
        for which, text in (("", outcome.text), ("the message of ", str(outcome.answer.text))):
            if text != expected:
                raise Failed(f"{which}{outcome.path} gave {text!r}", repr(expected))


# --- usage ---


@statement(
    "E05",
    "Usage in a stream is that of `invoke`, details included, and input tokens are on one chunk alone.",
    why="Usage is added up over the chunks: reported twice, it costs twice; not reported, nothing.",
    hint=_ONCE_HINT
    + """\
# servers of OpenAI's wire report usage in a stream only if they are asked to:
body["stream_options"] = {"include_usage": True}
""",
    link="https://docs.langchain.com/oss/python/langchain/models#token-usage",
    needs=("answer", "streaming"),
)
def same_usage(subject: Subject) -> str:
    """Have it report usage with details, or what it reports by itself; compare the sums and count the chunks."""
    whole = subject.ask(_reporting(subject)).answer.usage_metadata
    expected = counted(whole)
    for path, chunks in streamed(subject, lambda: _reporting(subject)):
        usage = reduce(add, chunks).usage_metadata
        if whole is None and usage is None:
            raise NotApplicable("it reports no usage: see C02")
        if counted(usage) != expected:
            raise Failed(f"the usage of {path} is {_told(usage)}", f"that of invoke, {_told(whole)}")
        with_input = [chunk.usage_metadata for chunk in chunks if counted(chunk.usage_metadata).get("input_tokens")]
        if len(with_input) > 1:
            raise Failed(f"{path}: {len(with_input)} chunks of {len(chunks)} report input tokens", "one chunk")
    return _told(whole)


def _reporting(subject: Subject) -> Any:
    return subject.model() if subject.lacks("replies") else subject.says(_REPORTED)


def counted(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Usage as names and numbers, without those that are nought or not known."""
    flat: dict[str, Any] = {}
    for name, value in (usage or {}).items():
        flat |= {f"{name}.{inner}": n for inner, n in value.items()} if isinstance(value, Mapping) else {name: value}
    return {name: value for name, value in flat.items() if value}


def _told(usage: Mapping[str, Any] | None) -> str:
    return "None" if usage is None else ", ".join(f"{name}={value}" for name, value in counted(usage).items())


# --- metadata ---

_NAMED = ("model_name", "model_provider", "finish_reason", "stop_reason", "done_reason")
"""Metadata by which answers are counted, read and judged."""


@statement(
    "E06",
    "The metadata of a stream's sum are not doubled, such as `stopstop`, and what they say of model, provider and "
    "finish reason is what `invoke` says.",
    why="`finish_reason == 'stop'` is False of `stopstop`, and no price list knows `gpt-4gpt-4`.",
    hint=_ONCE_HINT,
    needs=("answer", "streaming"),
)
def not_doubled(subject: Subject) -> str:
    """Add the chunks up, and compare the metadata with those of `invoke` and of each chunk."""
    whole = subject.ask(_reporting(subject)).answer.response_metadata
    compared: dict[str, Any] = {}
    for path, chunks in streamed(subject, lambda: _reporting(subject)):
        summed = reduce(add, chunks).response_metadata
        _check_not_doubled(path, summed, chunks, whole)
        compared = {name: whole[name] for name in _NAMED if whole.get(name) and summed.get(name)}
        other = [f"{name}={summed[name]!r}" for name, value in compared.items() if summed[name] != value]
        if other:
            expected = ", ".join(f"{name}={value!r}" for name, value in compared.items())
            raise Failed(f"the metadata of {path} say {', '.join(other)}", f"what invoke says, {expected}")
    if not compared and not whole:
        raise NotApplicable("its messages have no metadata: see C03")
    return ", ".join(f"{name}={value!r}" for name, value in compared.items())


def _check_not_doubled(path: PathName, summed: Mapping[str, Any], chunks: Sequence[Any], whole: Any) -> None:
    for name, value in summed.items():
        single = [chunk.response_metadata[name] for chunk in chunks if chunk.response_metadata.get(name)]
        if len(single) > 1 and isinstance(value, str | int | float) and value not in (*single, whole.get(name)):
            shown_value = repr(value) if len(repr(value)) <= 80 else f"{value!r:.80}..."
            raise Failed(f"{path}: {len(single)} chunks have {name}, which add up to {shown_value}", repr(single[-1]))


@statement(
    "E07",
    "The metadata of a stream have all keys that those of `invoke` have.",
    why="Code that reads a key finds it in tests, which mostly invoke, and not in the application, which streams.",
    hint="""
    # one function makes them; `_generate` puts them on its message, `_stream` on its last chunk
    def _metadata(self, finish: str) -> dict:
        return {"model_name": self.model_name, "model_provider": "acme", "finish_reason": finish}
    """,
    needs=("answer", "streaming"),
)
def same_keys(subject: Subject) -> None:
    """Add the chunks up, and look for the keys of `invoke`'s metadata that hold something."""
    whole = subject.ask(_reporting(subject)).answer.response_metadata
    for path, chunks in streamed(subject, lambda: _reporting(subject)):
        _check_keys(f"the metadata of {path}", reduce(add, chunks).response_metadata, whole)


def _check_keys(told: str, found: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    missing = [name for name, value in whole.items() if value is not None and name not in found]
    if missing:
        keys = ", ".join(sorted(found)) or "none"
        raise Failed(f"{told} lack {', '.join(missing)}; their keys: {keys}", "all that invoke's have")


# --- invoke, by way of a stream ---


@statement(
    "E12",
    "`streaming=True` is accepted, and changes nothing about what `invoke` gives: text, usage, metadata.",
    why="LangGraph and `astream_events` have `invoke` read a stream without asking; costs must not vanish by it.",
    hint="""
streaming: bool = False     # langchain-core reads it, and has `invoke` add up what `_stream` yields
"""
    + _ONCE_HINT,
    needs=("answer",),
)
def streaming_inside(subject: Subject) -> None:
    """Ask models with and without it, synchronously and asynchronously, and compare the messages."""
    try:
        _streaming(subject)
    except NotObserved:
        raise
    except Exception as error:
        raise Failed(f"{subject.cls.__name__}(streaming=True) raised {shown(error)}", "a model") from error
    for path in ("invoke", "ainvoke"):
        plain, switched = subject.ask(_reporting(subject), None, path), subject.ask(_streaming(subject), None, path)
        _check_same_answer(plain, switched)


def _streaming(subject: Subject) -> Any:
    if subject.lacks("replies"):
        return subject.model(streaming=True)
    return subject.says(_REPORTED, streaming=True)


def _check_same_answer(plain: Outcome, switched: Outcome) -> None:
    told = f"{plain.path} with streaming=True"
    before, after = plain.answer, switched.answer
    if str(before.text) != str(after.text):
        raise Failed(f"{told} gave {str(after.text)!r}", f"{str(before.text)!r}, as without")
    if counted(before.usage_metadata) != counted(after.usage_metadata):
        without = _told(before.usage_metadata)
        raise Failed(f"{told}: the usage is {_told(after.usage_metadata)}", f"{without}, as without")
    for name in _NAMED:
        was, now = before.response_metadata.get(name), after.response_metadata.get(name)
        if was and now and was != now:
            raise Failed(f"{told}: {name} is {now!r}", f"{was!r}, as without")
    _check_keys(f"{told}: the metadata", after.response_metadata, before.response_metadata)


# --- adding up ---


@statement(
    "E14",
    "The content of all chunks is of one kind, text or a list of blocks, and their sum becomes a message.",
    why="Text and blocks add up to a list of both, which few programs can read.",
    hint="""
    # either text in all chunks
    AIMessageChunk(content=piece)
    # or blocks in all, those without anything to say among them
    AIMessageChunk(content=[{"type": "text", "text": piece, "index": 0}])    AIMessageChunk(content=[])
    """,
    needs=("answer", "streaming"),
)
def one_kind(subject: Subject) -> None:
    """Stream text, and a tool call where that can be had; look at the chunks' content, and at the sum's message."""
    for kind, make in answers(subject):
        for outcome in subject.each_path(make, paths=subject.streams):
            told = f"{outcome.path}, {kind}"
            message = outcome.answer
            kinds = {type(chunk.content).__name__ for chunk in outcome.chunks if chunk.content}
            if len(kinds) > 1 or _mixed(message.content):
                raise Failed(f"{told}: the content of chunks is {_examples(outcome.chunks)}", "one kind")
            if type(message) is not AIMessage or str(message.text) != outcome.text:
                raise Failed(f"{told}: the message of the sum is {message!r:.120}", f"AIMessage({outcome.text!r})")


def _mixed(content: Any) -> bool:
    """Whether a list has bare texts beside blocks."""
    return isinstance(content, list) and len({isinstance(block, str) for block in content}) > 1


def _examples(chunks: Sequence[Any]) -> str:
    first = {type(chunk.content).__name__: chunk.content for chunk in reversed(chunks)}
    return " and ".join(f"{content!r:.60}" for content in first.values())


@statement(
    "E15",
    "Chunks add up to the same one by one, `a + b + c`, and all at once, `a + [b, c]`.",
    why="langchain-core does it in both ways, and applications in the first.",
    hint="""
    # yield plain AIMessageChunks. A class of one's own has to know both:
    def __add__(self, other):
        others = other if isinstance(other, list) else [other]
    """,
    needs=("answer", "streaming"),
)
def adds_up_in_any_way(subject: Subject) -> None:
    """Stream text, and a tool call where that can be had, add the chunks up in both ways, and compare."""
    for told, (first, *rest) in _streams(subject):
        if not rest:
            raise NotObserved("its answer comes in one chunk")
        one_by_one = reduce(add, rest, first)
        try:
            at_once = first + rest
        except Exception as error:
            raise Failed(f"{told}: a + [b, c] raised {shown(error)}", "what a + b + c gives") from error
        differing = [name for name, value in one_by_one.model_dump().items() if at_once.model_dump()[name] != value]
        if differing:
            name = differing[0]
            was, now = getattr(one_by_one, name), getattr(at_once, name)
            raise Failed(f"{told}: a + [b, c] has {name}={now!r:.80}, and a + b + c {was!r:.80}", "the same")


def _streams(subject: Subject) -> Iterator[tuple[str, Sequence[Any]]]:
    for kind, make in answers(subject):
        for path, chunks in streamed(subject, make):
            yield f"{path}, {kind}", chunks
