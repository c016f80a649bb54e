"""Group C: invoke and generate. What a call returns; what goes into one is in `c_messages`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.block_translators import get_translator

from langplug_backend import Reply, Tokens
from langplug_check.groups._runs import WHOLE
from langplug_check.paths import Outcome, PathName, allow_beta, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Advisory, Failed, NotApplicable

_THOUGHT, _SPOKEN = "Let me see.", "One two three."

_MESSAGES = "https://docs.langchain.com/oss/python/langchain/messages"

# --- the message ---


@statement(
    "C01",
    "`invoke` returns a fresh `AIMessage`, neither a chunk nor the input, with an id that no other message has.",
    rank="must",
    why="LangGraph's `add_messages` goes by the id: a message replaces another message with the same id.",
    hint="""
    message = AIMessage(content=text)   # a new one for each answer; leave `id` out, and langchain-core fills it in
    return ChatResult(generations=[ChatGeneration(message=message)])
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def message_of_its_own(subject: Subject) -> None:
    """Ask twice, synchronously and asynchronously, with a message that has an id; compare the messages."""
    for path in WHOLE:
        # The input has an id: langchain-core's own ParrotFakeChatModel returns the caller's message, and writes an id
        # into one that has none.
        model, given = subject.model(), HumanMessage(subject.prompt, id="the-id-of-the-input")
        answers: list[Any] = [subject.ask(model, [given], path).answer for _ in range(2)]
        for answer in answers:
            if answer is given:
                raise Failed(f"{path} gave back the very message that it was given", "a new AIMessage")
            if not isinstance(answer, AIMessage) or isinstance(answer, AIMessageChunk):
                raise Failed(f"{path} gave a message of type {type(answer).__name__}", "AIMessage")
            if not answer.id or answer.id == given.id:
                raise Failed(f"the answer of {path} has the id {answer.id!r}", "an id of its own")
        if answers[0].id == answers[1].id:
            raise Failed(f"two answers of {path} have the same id, {answers[0].id!r}", "an id for each")


_USED = Tokens(input=11, output=7, cached=3)
"""Usage without reasoning: some servers count reasoning among the output, others beside it."""

_NULL_USAGE: Mapping[str, Any] = {
    "prompt_tokens": _USED.input,
    "completion_tokens": _USED.output,
    "total_tokens": _USED.input + _USED.output,
    "prompt_tokens_details": {"cached_tokens": None},
    "completion_tokens_details": None,
}
"""Usage as some OpenAI-compatible servers report it: null where they know nothing."""

_USAGE_HINT = """
AIMessage(
    content=text,
    usage_metadata=UsageMetadata(
        input_tokens=int(read), output_tokens=int(written), total_tokens=int(read) + int(written),
        # only details that are known: None is not a number
        input_token_details=InputTokenDetails(**{k: v for k, v in details.items() if v is not None}),
    ),
)
"""


@statement(
    "C02",
    "`usage_metadata` holds what was reported: integers, details included, and a total that is input plus output.",
    why="Costs are counted by it, and adding two usages raises an error if a detail is None.",
    hint=_USAGE_HINT,
    link=f"{_MESSAGES}#token-usage",
    needs=("answer",),
)
def usage_adds_up(subject: Subject) -> str:
    """Have it report usage, where that can be chosen, with and without nulls; read the message's `usage_metadata`."""
    if subject.lacks("replies"):
        usage = subject.ask(subject.model()).answer.usage_metadata
        if usage is None:
            raise NotApplicable("it reports no usage")
        _check_sum("invoke", usage)
        return f"{usage['input_tokens']} and {usage['output_tokens']} tokens"
    for path in WHOLE:
        _check_reported(subject.ask(subject.says(Reply(text="Hello.", usage=_USED)), None, path))
    if _speaks_openai(subject):
        nulls = Reply(text="Hello.", usage_mode="none", extra={"usage": _NULL_USAGE})
        outcome = subject.ask(subject.says(nulls))
        if outcome.error is not None:
            raise Failed(
                f"the server reports null for part of the usage, and invoke raised {error_text(outcome.error)}"
            )
        _check_reported(outcome)
    return f"{_USED.input} and {_USED.output} tokens, as reported"


def _check_reported(outcome: Outcome) -> None:
    """Fail unless the message reports `_USED`."""
    usage = outcome.answer.usage_metadata
    expected = f"input_tokens={_USED.input}, output_tokens={_USED.output}"
    if usage is None:
        raise Failed(f"{outcome.path}: usage_metadata is None, though usage was reported", expected)
    _check_sum(outcome.path, usage)
    if (usage["input_tokens"], usage["output_tokens"]) != (_USED.input, _USED.output):
        raise Failed(f"{outcome.path}: usage_metadata is {usage}", expected)


def _check_sum(path: PathName, usage: Mapping[str, Any]) -> None:
    """Fail unless usage is integers throughout, and the total is the sum of input and output."""
    numbers = {name: usage.get(name) for name in ("input_tokens", "output_tokens", "total_tokens")}
    # The details too: `add_usage`, by which chunks and cost counters add up, raises ValueError for a None in them.
    for details in ("input_token_details", "output_token_details"):
        numbers |= {f"{details}[{name!r}]": value for name, value in (usage.get(details) or {}).items()}
    odd = [f"{name}={value!r}" for name, value in numbers.items() if type(value) is not int]
    if odd:
        raise Failed(f"{path}: usage_metadata has {', '.join(odd)}", "integers only; what is unknown is left out")
    if usage["total_tokens"] != usage["input_tokens"] + usage["output_tokens"]:
        raise Failed(f"{path}: usage_metadata is {usage}", "total_tokens = input_tokens + output_tokens")


def _speaks_openai(subject: Subject) -> bool:
    """Whether the last request was in the dialect of OpenAI's API."""
    if subject.lacks("backend") or not subject.exchanges:
        return False
    request = subject.exchanges[-1].request
    return request is not None and request.dialect == "openai"


@statement(
    "C03",
    "`response_metadata` has `model_name`, `model_provider`, and `finish_reason` or `stop_reason`.",
    why="Usage is counted by model name, content is parsed by provider, and the finish reason says whether an answer "
    "was cut off.",
    hint="""
    AIMessage(content=text, response_metadata={
        "model_name": self.model_name, "model_provider": "acme", "finish_reason": "stop",
    })
    # in a stream: on ONE chunk, since langchain-core concatenates strings
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def names_in_metadata(subject: Subject) -> str:
    """Read them from an answer, synchronously and asynchronously."""

    def has(metadata: Mapping[str, Any], name: str) -> bool:
        return isinstance(metadata.get(name), str) and bool(metadata[name])

    # `UsageMetadataCallbackHandler` ignores usage without a `model_name`; `AIMessage.content_blocks` looks for a
    # translator by `model_provider`.
    found: Mapping[str, Any] = {}
    for path in WHOLE:
        found = subject.ask(subject.model(), None, path).answer.response_metadata
        missing = [name for name in ("model_name", "model_provider") if not has(found, name)]
        if not has(found, "finish_reason") and not has(found, "stop_reason"):
            missing.append("finish_reason")
        if missing:
            raise Failed(
                f"{path}: response_metadata has no {', '.join(missing)}; its keys: {', '.join(found) or 'none'}"
            )
    names = ("model_name", "model_provider", "finish_reason", "stop_reason")
    return ", ".join(f"{name}={found[name]!r}" for name in names if name in found)


@statement(
    "C21",
    "`model_provider` names a provider only if langchain-core's translator for it fits the content.",
    rank="could",
    why="`content_blocks` hands the content to the translator of that name: one that does not fit loses content.",
    hint="""
    response_metadata={"model_provider": "acme"}   # your own name, not that of a provider whose format you do not send
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def provider_fits(subject: Subject) -> str:
    """Compare `content_blocks` with the message's text, and with the blocks of the same message without a provider."""
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
            # Without a translator, langchain-core parses the content as well as it can.
            return f"{provider!r} is a name of its own"
        unnamed = message.model_copy(update={"response_metadata": {}})
        try:
            named, plain = _texts_by_kind(message), _texts_by_kind(unnamed)
        except Exception as error:
            raise Failed(f"with model_provider={provider!r}, content_blocks raises {error_text(error)}") from error
        with_it = f"with model_provider={provider!r}, content_blocks"
        if named["text"] != str(message.text):
            raise Failed(f"{with_it} say {named['text']!r}", repr(str(message.text)))
        for kind in ("reasoning", "tool_call"):
            if plain[kind] and not named[kind]:
                raise Failed(f"{with_it} have no {kind}", f"{plain[kind]!r}, as without")
    return f"the translator for {provider!r} fits"


def _texts_by_kind(message: AIMessage) -> dict[str, Any]:
    """The message's content blocks, by type, as text."""
    blocks: Sequence[Mapping[str, Any]] = message.content_blocks
    return {
        "text": "".join(str(block["text"]) for block in blocks if block["type"] == "text"),
        "reasoning": "".join(str(block.get("reasoning") or "") for block in blocks if block["type"] == "reasoning"),
        "tool_call": [block["name"] for block in blocks if block["type"] == "tool_call"],
    }


@statement(
    "C04",
    "A message is the same after `loads(dumps(message))`, and its `response_metadata` is JSON data.",
    why="Caches in SQLite or Redis, checkpoints and LangServe store messages as JSON.",
    hint="""
    response_metadata={"token_usage": usage.model_dump(mode="json")}   # plain data, no objects of the client's
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def survives_json(subject: Subject) -> None:
    """Dump and load the message that each of three paths gives."""
    # ChatLiteLLM puts its client's `Usage` object into `token_usage`: such messages can be neither dumped nor loaded.
    kinds: tuple[PathName, ...] = ("invoke", "stream", "v3")
    for outcome in subject.each_path(subject.model, paths=[path for path in kinds if path in subject.paths]):
        message = outcome.answer
        try:
            json.dumps(message.response_metadata)
            with allow_beta():
                loaded = loads(dumps(message), allowed_objects=[AIMessage])
        except Exception as error:
            raise Failed(
                f"the message of {outcome.path} does not survive: {error_text(error)}", "plain JSON data"
            ) from error
        if loaded != message:
            before = message.model_dump()
            after: Mapping[str, Any] = loaded.model_dump() if isinstance(loaded, AIMessage) else {}
            changed = [
                f"{name}: {after.get(name)!r} for {old!r}" for name, old in before.items() if after.get(name) != old
            ]
            what = "; ".join(changed)[:200] or f"type, {type(loaded).__name__}"
            raise Failed(f"the message of {outcome.path} came back with another {what}")


@statement(
    "C19",
    "An answer without text is an `AIMessage('')`, and its stream has at least one chunk.",
    why="Refusals, and answers that end at once, have no text; langchain-core raises 'No generation chunks were "
    "returned' for a stream without chunks.",
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
            problems.append(f"{outcome.path} raised {error_text(outcome.error)}")
        elif outcome.text or outcome.message.text or not isinstance(outcome.message, AIMessage):
            problems.append(f"{outcome.path} gave {outcome.message!r:.100}")
    if problems:
        raise Failed("; ".join(problems), "an empty AIMessage on each path")


# --- more than text ---


@statement(
    "C22",
    "Reasoning is a `reasoning` block or `additional_kwargs['reasoning_content']`, never part of `.text`, and the same "
    "on each path.",
    why="Reasoning in the text is read to users, and parsed as the answer; reasoning on one path only is lost on the "
    "others.",
    hint="""
    AIMessageChunk(content=delta.get("content") or "",
                   additional_kwargs={"reasoning_content": delta["reasoning_content"]})   # the same in `_generate`
    """,
    link=f"{_MESSAGES}#content-block-reference",
    needs=("replies",),
)
def reasoning_apart(subject: Subject) -> str:
    """Have it think and speak, and read both on each path; then the same with `<think>` tags in the text."""
    seen = _common_reasoning(subject, Reply(thinking=_THOUGHT, text=_SPOKEN))
    if not seen and _speaks_openai(subject):
        # vLLM renamed the field from `reasoning_content` to `reasoning` (vllm#27755): either will do.
        seen = _common_reasoning(subject, Reply(thinking=_THOUGHT, text=_SPOKEN, thoughts="reasoning"))
    # Not a failure: ChatOpenAI's documentation says that it does not read these fields, lc#35059 and lc#34706.
    if not seen:
        raise Advisory("the server's reasoning is dropped, on each path alike")
    if not _speaks_openai(subject):
        return "kept apart"
    tagged = Reply(thinking=_THOUGHT, text=_SPOKEN, thoughts="tags")
    apart = {outcome.path: "<think>" not in outcome.text for outcome in subject.each_path(lambda: subject.says(tagged))}
    if len(set(apart.values())) > 1:
        left_in = ", ".join(path for path, is_apart in apart.items() if not is_apart)
        raise Failed(f"<think> tags are removed from the text, but not by {left_in}", "the same on each path")
    if not all(apart.values()):
        raise Advisory("reasoning in a field is kept apart; <think> tags, as some servers send them, stay in the text")
    return "kept apart"


def _common_reasoning(subject: Subject, reply: Reply) -> str:
    """The reasoning that every path shows; empty where all of them drop it."""
    shown_by: dict[PathName, str] = {}
    for outcome in subject.each_path(lambda: subject.says(reply)):
        message = outcome.answer
        if str(message.text) != _SPOKEN or outcome.text != _SPOKEN:
            raise Failed(f"{outcome.path}: the text is {outcome.text!r}, after the thought {_THOUGHT!r}", repr(_SPOKEN))
        # langchain-core turns `reasoning_content` into a block itself, but for providers that have a translator.
        in_kwargs = str(message.additional_kwargs.get("reasoning_content") or "")
        shown_by[outcome.path] = _texts_by_kind(message)["reasoning"] or in_kwargs
    if len(set(shown_by.values())) > 1:
        thoughts = ", ".join(f"{path}: {thought!r}" for path, thought in shown_by.items())
        raise Failed(f"the paths show different reasoning: {thoughts}", "the same on each path")
    thought = shown_by["invoke"]
    if thought not in ("", _THOUGHT):
        raise Failed(f"the reasoning arrived as {thought!r}", repr(_THOUGHT))
    return thought
