"""Group N: token counting, profile."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from langchain_core.language_models import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, trim_messages

from langplug_check.paths import error_text
from langplug_check.process.offline import Attempts, block_network
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed


@statement(
    "N03",
    "`profile` is None, or a `ModelProfile` dict with known keys.",
    why="`create_agent` and middleware read it to decide how to get structured output, and when to summarise.",
    hint="""
    def _resolve_model_profile(self) -> ModelProfile | None:
        return ModelProfile(max_input_tokens=8192, tool_calling=True)
    """,
    link="https://docs.langchain.com/oss/python/langchain/models#model-profiles",
)
def known_profile(subject: Subject) -> str:
    """Compare its keys with those of `ModelProfile`."""
    # An unknown key is a warning in langchain-core, and a typo there is a capability that nobody sees. Without
    # `max_input_tokens`, SummarizationMiddleware raises for a trigger that is a fraction of it.
    profile = subject.model().profile
    if profile is None:
        return "None"
    if not isinstance(profile, dict):
        raise Failed(f"profile is {profile!r}", "None or a dict")
    unknown = sorted(set(profile) - set(ModelProfile.__annotations__))
    if unknown:
        raise Failed(f"profile has the unknown keys {', '.join(unknown)}")
    return ", ".join(sorted(profile))


_COUNT_HINT = """
def get_token_ids(self, text: str) -> list[int]:
    # the model's own tokenizer, or an estimate: langchain-core would download GPT-2's
    return list(range((len(text) + 3) // 4))
"""

_MESSAGES: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("one two three four five six seven eight nine ten " * 20),
    AIMessage("eleven twelve " * 20),
    HumanMessage("What is left of it?"),
]


@statement(
    "N01",
    "`get_num_tokens` and `get_num_tokens_from_messages` work offline, without `transformers` and downloads.",
    why="By default langchain-core downloads GPT-2's tokenizer, which fails in production, and miscounts elsewhere.",
    hint=_COUNT_HINT,
)
def counts_offline(subject: Subject) -> str:
    """Count without a network and without `transformers`; longer text must have more tokens."""
    model = subject.model()
    with _nothing_to_load():
        try:
            few, many = model.get_num_tokens("Hello world."), model.get_num_tokens("Hello world. " * 50)
            in_all = model.get_num_tokens_from_messages(_MESSAGES)
        except Exception as error:  # noqa: BLE001 - any error is a failure
            raise Failed(f"counting tokens raised {error_text(error)}", "a number") from None
    if not 0 < few < many:
        raise Failed(f"'Hello world.' has {few} tokens, and fifty of them {many}", "more tokens for more text")
    if not isinstance(in_all, int) or in_all <= 0:
        raise Failed(f"get_num_tokens_from_messages gave {in_all!r}", "a number above 0")
    return f"{few} and {many} tokens"


@statement(
    "N02",
    "`trim_messages(token_counter=model)` works offline.",
    why="It keeps a conversation within the context window.",
    hint=_COUNT_HINT,
    link="https://docs.langchain.com/oss/python/langchain/short-term-memory#trim-messages",
)
def trims_offline(subject: Subject) -> None:
    """Trim a conversation to the tokens of its last message, without a network and without `transformers`."""
    model = subject.model()
    with _nothing_to_load():
        try:
            last = model.get_num_tokens_from_messages(_MESSAGES[-1:])
            kept = trim_messages(_MESSAGES, max_tokens=last, strategy="last", token_counter=model)
            whole = trim_messages(_MESSAGES, max_tokens=10**6, strategy="last", token_counter=model)
        except Exception as error:  # noqa: BLE001 - any error is a failure
            raise Failed(f"trim_messages raised {error_text(error)}", "the last messages") from None
    if [message.content for message in kept] != [_MESSAGES[-1].content]:
        raise Failed(f"trimmed to {last} tokens, which the last message has, {len(kept)} messages are kept", "one")
    if len(whole) != len(_MESSAGES):
        raise Failed(f"trimmed to a million tokens, {len(whole)} of {len(_MESSAGES)} messages are kept", "all")


@contextmanager
def _nothing_to_load() -> Generator[Attempts, None, None]:
    """Without a network beyond this machine, and as if `transformers` were not installed."""
    # The module itself and those of its parts that are loaded: None in `sys.modules` makes an import fail.
    absent: dict[str, Any] = dict.fromkeys(("transformers", *(n for n in sys.modules if n.startswith("transformers."))))
    with block_network() as attempts, patch.dict(sys.modules, absent):
        yield attempts
