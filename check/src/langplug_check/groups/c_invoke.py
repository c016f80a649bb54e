"""Group C: invoke and generate. What comes back of a call; what goes into one is in `c_messages`."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.block_translators import get_translator

from langplug_backend import Reply, Tokens
from langplug_check.paths import Outcome, PathName, beta_allowed, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Advisory, Failed, NotApplicable

_THOUGHT, _SPOKEN = "Let me see.", "One two three."

_MESSAGES = "https://docs.langchain.com/oss/python/langchain/messages"

WHOLE: Sequence[PathName] = ("invoke", "ainvoke")
"""The paths that give an answer as a whole."""

# --- the message ---


@statement(
    "C01",
    "`invoke` returns a fresh `AIMessage`, neither a chunk nor the input, with an id that no other message has.",
    why="LangGraph's `add_messages` goes by the id: a message takes the place of another with the same id.",
    hint="""
    message = AIMessage(content=text)   # a new one for each answer; leave `id` out, and langchain-core fills it in
    return ChatResult(generations=[ChatGeneration(message=message)])
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def message_of_its_own(subject: Subject) -> None:
    """Ask twice, synchronously and asynchronously, with a message that has an id; compare what comes back."""
    for path in WHOLE:
        model, given = subject.model(), HumanMessage(subject.prompt, id="the-id-of-the-input")
        answers = [subject.ask(model, [given], path).answer for _ in range(2)]
        for answer in answers:
            _check_fresh(path, answer, given)
        if answers[0].id == answers[1].id:
            raise Failed(f"two answers of {path} have the same id, {answers[0].id!r}", "an id for each")


def _check_fresh(path: PathName, answer: Any, given: HumanMessage) -> None:
    if answer is given:
        raise Failed(f"{path} gave back the very message that it was given", "a new AIMessage")
    if not isinstance(answer, AIMessage) or isinstance(answer, AIMessageChunk):
        raise Failed(f"{path} gave a message of type {type(answer).__name__}", "AIMessage")
    if not answer.id or answer.id == given.id:
        raise Failed(f"the answer of {path} has the id {answer.id!r}", "an id of its own")


_USED = Tokens(input=11, output=7, cached=3)
"""No reasoning: some servers count it among the output, and others beside it."""

_NULL_USAGE: Mapping[str, Any] = {
    "prompt_tokens": _USED.input,
    "completion_tokens": _USED.output,
    "total_tokens": _USED.input + _USED.output,
    "prompt_tokens_details": {"cached_tokens": None},
    "completion_tokens_details": None,
}
"""Usage as some servers of OpenAI's wire report it: with null where they know nothing."""

_USAGE_HINT = """
AIMessage(
    content=text,
    usage_metadata=UsageMetadata(
        input_tokens=int(read), output_tokens=int(written), total_tokens=int(read) + int(written),
        # only details that are known: None is no number
        input_token_details=InputTokenDetails(**{k: v for k, v in details.items() if v is not None}),
    ),
)
"""


@statement(
    "C02",
    "`usage_metadata` holds what was reported: integers, details included, and a total that is input plus output.",
    why="Costs are counted by it, and adding two usages up raises an error where a detail is None.",
    hint=_USAGE_HINT,
    link=f"{_MESSAGES}#token-usage",
    needs=("answer",),
)
def usage_adds_up(subject: Subject) -> str:
    """Have it report usage, where that can be had, with and without nulls; read what the message says of it."""
    if subject.lacks("replies"):
        return _own_usage(subject)
    for path in WHOLE:
        reported = Reply(text="Hello.", usage=_USED)
        _check_reported(subject.ask(subject.says(reported), None, path))
    if _speaks_openai(subject):
        nulls = Reply(text="Hello.", usage_mode="none", extra={"usage": _NULL_USAGE})
        outcome = subject.ask(subject.says(nulls))
        if outcome.error is not None:
            raise Failed(f"with a null in the usage that the server reports, invoke raised {shown(outcome.error)}")
        _check_reported(outcome)
    return f"{_USED.input} and {_USED.output} tokens, as reported"


def _own_usage(subject: Subject) -> str:
    usage = subject.ask(subject.model()).answer.usage_metadata
    if usage is None:
        raise NotApplicable("it reports no usage")
    _check_sum("invoke", usage)
    return f"{usage['input_tokens']} and {usage['output_tokens']} tokens"


def _check_reported(outcome: Outcome) -> None:
    usage = outcome.answer.usage_metadata
    expected = f"input_tokens={_USED.input}, output_tokens={_USED.output}"
    if usage is None:
        raise Failed(f"{outcome.path}: usage_metadata is None, though usage was reported", expected)
    _check_sum(outcome.path, usage)
    if (usage["input_tokens"], usage["output_tokens"]) != (_USED.input, _USED.output):
        raise Failed(f"{outcome.path}: usage_metadata is {usage}", expected)


def _check_sum(path: PathName, usage: Mapping[str, Any]) -> None:
    odd = [f"{name}={value!r}" for name, value in _numbers(usage) if type(value) is not int]
    if odd:
        raise Failed(f"{path}: usage_metadata has {', '.join(odd)}", "integers alone; what is not known is left out")
    if usage["total_tokens"] != usage["input_tokens"] + usage["output_tokens"]:
        raise Failed(f"{path}: usage_metadata is {usage}", "total_tokens = input_tokens + output_tokens")


def _numbers(usage: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        yield name, usage.get(name)
    for details in ("input_token_details", "output_token_details"):
        if details in usage:
            yield from ((f"{details}[{name!r}]", value) for name, value in (usage[details] or {}).items())


def _speaks_openai(subject: Subject) -> bool:
    """Whether the last request that was seen came over OpenAI's wire."""
    if subject.lacks("backend") or not subject.exchanges:
        return False
    asked = subject.exchanges[-1].request
    return asked is not None and asked.dialect == "openai"


_WHY_ENDED = ("finish_reason", "stop_reason")


@statement(
    "C03",
    "`response_metadata` has `model_name`, `model_provider`, and `finish_reason` or `stop_reason`.",
    why="Usage is counted by model name, content is read by provider, and whoever must know whether an answer was cut "
    "off looks for the reason of its end.",
    hint="""
    AIMessage(content=text, response_metadata={
        "model_name": self.model_name, "model_provider": "acme", "finish_reason": "stop",
    })
    # in a stream: on ONE chunk, since langchain-core puts equal strings one behind the other
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def tells_who_answered(subject: Subject) -> str:
    """Read them from an answer, synchronously and asynchronously."""
    metadata: Mapping[str, Any] = {}
    for path in WHOLE:
        metadata = subject.ask(subject.model(), None, path).answer.response_metadata
        missing = [name for name in ("model_name", "model_provider") if not _is_text(metadata.get(name))]
        if not any(_is_text(metadata.get(name)) for name in _WHY_ENDED):
            missing.append("finish_reason")
        if missing:
            raise Failed(
                f"{path}: response_metadata has no {', '.join(missing)}; its keys: {', '.join(metadata) or 'none'}"
            )
    return ", ".join(
        f"{name}={metadata[name]!r}" for name in ("model_name", "model_provider", *_WHY_ENDED) if name in metadata
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


@statement(
    "C21",
    "`model_provider` names a provider only if langchain-core's translator for it fits the content.",
    why="`content_blocks` hands the content to the translator of that name: one that does not fit loses what was said.",
    hint="""
    response_metadata={"model_provider": "acme"}   # your own name, and not that of whose format you do not send
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def provider_fits(subject: Subject) -> str:
    """Compare `content_blocks` with the message's text, and with those that are read without the provider."""
    makers: list[Callable[[], Any]] = [subject.model]
    if not subject.lacks("replies"):
        makers.append(lambda: subject.says(Reply(thinking=_THOUGHT, text=_SPOKEN)))
    provider = ""
    for make in makers:
        message = subject.ask(make()).answer
        provider = str(message.response_metadata.get("model_provider") or "")
        if not provider:
            raise NotApplicable("its messages name no provider: see C03")
        if get_translator(provider) is None:
            return f"{provider!r} is a name of its own"
        _check_translated(message, provider)
    return f"the translator for {provider!r} fits"


def _check_translated(message: AIMessage, provider: str) -> None:
    unnamed = message.model_copy(update={"response_metadata": {}})
    try:
        named, plain = _told(message), _told(unnamed)
    except Exception as error:
        raise Failed(f"with model_provider={provider!r}, content_blocks raises {shown(error)}") from error
    if named["text"] != str(message.text):
        raise Failed(f"with model_provider={provider!r}, content_blocks say {named['text']!r}", repr(str(message.text)))
    for kind in ("reasoning", "tool_call"):
        if plain[kind] and not named[kind]:
            raise Failed(
                f"with model_provider={provider!r}, content_blocks have no {kind}", f"{plain[kind]!r}, as without"
            )


def _told(message: AIMessage) -> dict[str, Any]:
    blocks: Sequence[Mapping[str, Any]] = message.content_blocks
    return {
        "text": "".join(str(block["text"]) for block in blocks if block["type"] == "text"),
        "reasoning": "".join(str(block.get("reasoning", "")) for block in blocks if block["type"] == "reasoning"),
        "tool_call": [block["name"] for block in blocks if block["type"] == "tool_call"],
    }


@statement(
    "C04",
    "A message is the same after `loads(dumps(message))`, and its `response_metadata` are JSON.",
    why="Caches in SQLite or Redis, checkpoints and LangServe keep messages as JSON.",
    hint="""
    response_metadata={"token_usage": usage.model_dump(mode="json")}   # plain data, and no object of the client's
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def survives_json(subject: Subject) -> None:
    """Dump and load the message that each of three paths gives."""
    for outcome in subject.each_path(subject.model, paths=("invoke", "stream", "v3")):
        message = outcome.answer
        try:
            json.dumps(message.response_metadata)
            with beta_allowed():
                loaded = loads(dumps(message), allowed_objects=[AIMessage])
        except Exception as error:
            raise Failed(
                f"the message of {outcome.path} does not survive: {shown(error)}", "plain JSON data"
            ) from error
        if loaded != message:
            raise Failed(f"the message of {outcome.path} came back with another {_difference(message, loaded)}")


def _difference(message: AIMessage, loaded: Any) -> str:
    before = message.model_dump()
    after: Mapping[str, Any] = loaded.model_dump() if isinstance(loaded, AIMessage) else {}
    differing = [
        f"{name}: {after.get(name)!r} for {value!r}" for name, value in before.items() if after.get(name) != value
    ]
    return "; ".join(differing)[:200] or f"type, {type(loaded).__name__}"


@statement(
    "C19",
    "An answer without text is an `AIMessage('')`, and its stream has at least one chunk.",
    why="Refusals and answers that end at once are such; langchain-core raises 'No generation chunks were "
    "returned' for a stream of nothing.",
    hint="""
    # at the end of `_stream`, whatever came before it
    yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"finish_reason": reason}))
    """,
    needs=("text",),
)
def empty_answer(subject: Subject) -> None:
    """Have it say nothing, on each path."""
    problems = []
    for outcome in subject.each_path(lambda: subject.says("")):
        if outcome.message is None:
            problems.append(f"{outcome.path} raised {shown(outcome.error)}")
        elif outcome.text or outcome.message.text or not isinstance(outcome.message, AIMessage):
            problems.append(f"{outcome.path} gave {outcome.message!r:.100}")
    if problems:
        raise Failed("; ".join(problems), "an empty AIMessage on each path")


# --- more than text ---


@statement(
    "C22",
    "Reasoning is a `reasoning` block or `additional_kwargs['reasoning_content']`, never part of `.text`, and the same "
    "on each path.",
    why="Thoughts in the text are read to users, and parsed as the answer; those on one path are lost on others.",
    hint="""
    AIMessageChunk(content=delta.get("content") or "",
                   additional_kwargs={"reasoning_content": delta["reasoning_content"]})   # in `_generate` just so
    """,
    link=f"{_MESSAGES}#content-block-reference",
    needs=("replies",),
)
def reasoning_apart(subject: Subject) -> str:
    """Have it think and speak, and read both on each path; then the same with `<think>` tags in the text."""
    seen = _thoughts(subject, Reply(thinking=_THOUGHT, text=_SPOKEN))
    if not seen and _speaks_openai(subject):
        seen = _thoughts(subject, Reply(thinking=_THOUGHT, text=_SPOKEN, thoughts="reasoning"))
    if not seen:
        raise Advisory("what the server says the model thought is dropped, on each path alike")
    if _speaks_openai(subject) and not _untagged(subject):
        raise Advisory(
            "reasoning in a field is kept apart; in <think> tags, as some servers send it, it stays in the text"
        )
    return "kept apart"


def _thoughts(subject: Subject, reply: Reply) -> str:
    """The thoughts that every path shows; nothing where they are dropped by all."""
    shown_by: dict[PathName, str] = {}
    for outcome in subject.each_path(lambda: subject.says(reply)):
        if str(outcome.answer.text) != _SPOKEN or outcome.text != _SPOKEN:
            raise Failed(f"{outcome.path}: the text is {outcome.text!r}, after the thought {_THOUGHT!r}", repr(_SPOKEN))
        shown_by[outcome.path] = _reasoning(outcome.answer)
    if len(set(shown_by.values())) > 1:
        told = ", ".join(f"{path}: {thought!r}" for path, thought in shown_by.items())
        raise Failed(f"the paths show different thoughts: {told}", "the same on each path")
    thought = shown_by["invoke"]
    if thought not in ("", _THOUGHT):
        raise Failed(f"the thought came as {thought!r}", repr(_THOUGHT))
    return thought


def _reasoning(message: AIMessage) -> str:
    blocks: Sequence[Mapping[str, Any]] = message.content_blocks
    thought = "".join(str(block.get("reasoning") or "") for block in blocks if block["type"] == "reasoning")
    return thought or str(message.additional_kwargs.get("reasoning_content") or "")


def _untagged(subject: Subject) -> bool:
    """Whether thoughts between tags are taken out of the text."""
    tagged = Reply(thinking=_THOUGHT, text=_SPOKEN, thoughts="tags")
    apart = {outcome.path: "<think>" not in outcome.text for outcome in subject.each_path(lambda: subject.says(tagged))}
    if len(set(apart.values())) > 1:
        left_in = ", ".join(path for path, is_apart in apart.items() if not is_apart)
        raise Failed(f"<think> tags are taken out of the text, but not on {left_in}", "the same on each path")
    return all(apart.values())
