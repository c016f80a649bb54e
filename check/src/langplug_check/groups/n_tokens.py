"""Group N: token counting, profile."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from langchain_core.language_models import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages

from langplug_check.groups._tools import OFFERED, add, look
from langplug_check.paths import error_text
from langplug_check.process.offline import Attempts, block_network
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed


@statement(
    "N03",
    "`profile` is None, or a `ModelProfile` dict with known keys.",
    rank="could",
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


@statement(
    "N05",
    "A `profile` that is given to the constructor is kept, in copies too.",
    why="Users say in it what a new model can do, for agents and middleware to read.",
    hint="""
    # do not overwrite what was given
    if self.profile is None:
        self.profile = my_profile(self.model_name)
    """,
    link="https://docs.langchain.com/oss/python/langchain/models#model-profiles",
)
def given_profile(subject: Subject) -> None:
    """Give one, and read it from the model and from a copy."""
    given = {"max_input_tokens": 12345, "tool_calling": subject.calls_tools}
    model = subject.real(profile=given)
    for which, one in (("the model", model), ("its copy", model.model_copy())):
        profile: Mapping[str, Any] = one.profile or {}
        if lost := {name: profile.get(name) for name, value in given.items() if profile.get(name) != value}:
            raise Failed(f"of the profile {given}, {which} has {lost}", f"{given}")


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


def _looking(*things: str) -> AIMessage:
    """An answer without text that calls a tool for each of these."""
    calls = [{"name": look.name, "args": {"what": what}, "id": f"call{what:.5}"} for what in things]
    return AIMessage("", tool_calls=calls)


_AGENT: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Look the first thing up."),
    _looking("first"),
    ToolMessage("It is alpha.", tool_call_id="callfirst", name=look.name),
    AIMessage("It is alpha."),
    AIMessage("I could look up more."),
    HumanMessage("Then look up two others."),
    _looking("other", "third"),
    ToolMessage("It is gamma.", tool_call_id="callthird", name=look.name),
    ToolMessage("There is no other.", tool_call_id="callother", name=look.name, status="error"),
]
"""A conversation of an agent. What is cut from it to be counted is often nothing that a model would be asked."""


@statement(
    "N01",
    "`get_num_tokens` and `get_num_tokens_from_messages` work offline, without `transformers` and downloads.",
    rank="could",
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
    "`trim_messages(token_counter=model)` works offline, also on the conversation of an agent.",
    why="It keeps a conversation within the context window, and agents have the longest ones.",
    hint=_COUNT_HINT,
    link="https://docs.langchain.com/oss/python/langchain/short-term-memory#trim-messages",
)
def trims_offline(subject: Subject) -> None:
    """Trim a conversation to the tokens of its last message, and an agent's to several lengths, from both ends."""
    model = subject.model()
    with _nothing_to_load():
        try:
            last = model.get_num_tokens_from_messages(_MESSAGES[-1:])
            kept = trim_messages(_MESSAGES, max_tokens=last, strategy="last", token_counter=model)
            whole = trim_messages(_MESSAGES, max_tokens=10**6, strategy="last", token_counter=model)
            in_all = model.get_num_tokens_from_messages(_AGENT)
            for share in range(5):
                most: dict[str, Any] = {"max_tokens": in_all * share // 4, "token_counter": model}
                trim_messages(_AGENT, strategy="first", **most)
                trim_messages(_AGENT, strategy="last", include_system=True, start_on="human", **most)
        except Exception as error:  # noqa: BLE001 - any error is a failure
            raise Failed(f"trim_messages raised {error_text(error)}", "the last messages") from None
    if [message.content for message in kept] != [_MESSAGES[-1].content]:
        raise Failed(f"trimmed to {last} tokens, which the last message has, {len(kept)} messages are kept", "one")
    if len(whole) != len(_MESSAGES):
        raise Failed(f"trimmed to a million tokens, {len(whole)} of {len(_MESSAGES)} messages are kept", "all")


@statement(
    "N04",
    "`get_num_tokens_from_messages` counts every part of an agent's conversation, whatever it begins and ends with: "
    "calls count, and `tools` never make it less.",
    why="trim_messages and SummarizationMiddleware count parts that no model would be asked to go on with.",
    hint="""
    def get_num_tokens_from_messages(self, messages, tools=None):
        # count what is sent, without the rules of a template or an API for what may follow what
        sent = [*map(to_wire, messages), *map(convert_to_openai_tool, tools or ())]
        return sum(self.get_num_tokens(json.dumps(one)) for one in sent)
    """,
)
def counts_every_part(subject: Subject) -> str:
    """Count each beginning and each end of a conversation with calls, alone and with tools; then a longer call."""
    model = subject.model()
    parts = [part for at in range(1, len(_AGENT)) for part in (_AGENT[:at], _AGENT[at:])]

    def count(part: list[BaseMessage], **tools: Any) -> int:
        which = f"{' '.join(message.type for message in part)}{' with tools' if tools else ''}"
        try:
            counted = model.get_num_tokens_from_messages(part, **tools)
        except Exception as error:
            raise Failed(f"counting [{which}] raised {error_text(error)}", "a number") from error
        if not isinstance(counted, int) or counted <= 0:
            raise Failed(f"[{which}] has {counted!r} tokens", "a number above 0")
        return counted

    with _nothing_to_load():
        for part in (_AGENT, *parts):
            # Of langchain-core's own, the count ignores tools, with a warning: then it is the same.
            alone = count(part)
            for tools in ([add, look], OFFERED):
                if (more := count(part, tools=tools)) < alone:
                    raise Failed(f"{alone} tokens become {more} with tools", f"at least {alone}")
        short, long = count([_looking("first")]), count([_looking("first " * 50)])
    if long <= short:
        raise Failed(f"a call has {short} tokens, and one with fifty times its arguments {long}", "more")
    return f"{len(parts)} parts"


@contextmanager
def _nothing_to_load() -> Generator[Attempts, None, None]:
    """Without a network beyond this machine, and as if `transformers` were not installed."""
    # The module itself and those of its parts that are loaded: None in `sys.modules` makes an import fail.
    absent: dict[str, Any] = dict.fromkeys(("transformers", *(n for n in sys.modules if n.startswith("transformers."))))
    with block_network() as attempts, patch.dict(sys.modules, absent):
        yield attempts
