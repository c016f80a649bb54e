"""What an OpenAI-wire server may refuse, how its words are recognised, and what is sent in its place.

A server that nothing is known of is asked as OpenAI documents it. If it answers that it does not take a part of the
request, it is asked again without that part, or with it in another form, and never again in the form that it refused.
So what is learnt is a change to its `Server`, and the request is written anew by that.

An error that means something else must not be taken for such a refusal: it would hide what is wrong and cost a second
request. So a concession is made only if the error names the very part, says that it is not taken, and leaving it would
change this request. Words are looked for as substrings, which is linear in what the server sends.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
)

from langplug._errors import RefusalError
from langplug._log import log
from langplug._messages.role_order import ROLE_ORDERS, RoleOrder
from langplug.models.openai_body import carried_fields, extra_call_keys
from langplug.models.servers import Server

MOST_CONCESSIONS = 8
"""How many are made for one request, whatever the server says."""

Words = tuple[str, ...]

_NOT_TAKEN: Words = (
    "not support",
    "n't support",
    "unsupported",
    "unknown",
    "unrecognized",
    "unrecognised",
    "unexpected",
    "not permitted",
    "not allowed",
    "not available",
    "unavailable",
    "not implemented",
    "extra inputs",
    "extra_forbidden",
    "no endpoints found",
    "cannot find field",
    "cannot be used",
    "may not be",
    "incompatible",
)
"""How servers say that they do not take a thing."""

_OTHER_FORM: Words = (*_NOT_TAKEN, "must be", "invalid", "expected", "not valid", "only", "does not match", "should be")
"""How they say that they want it in another form. The same words stand in errors about values."""


_OF_A_TOOL: Words = (
    *(
        f"not {place}"
        for place in ("among", "found", "present", "included", "provided", "defined", "listed", "declared")
    ),
    *(f"n't {verb}" for verb in ("exist", "match any")),
    *(f"not {verb}" for verb in ("exist", "match any", "one of the", "in tools", "in 'tools'", "in `tools`")),
    "in the tools",
    "no such",
    "no tool",
    "choice.function.name",
    "not a valid tool",
    "not a valid function",
    "unknown function",
    "unknown tool",
    "when 'tools'",
    "when `tools`",
    "when tools",
)
"""How they say that a tool which is to be called is not there: its name is wrong, and any other form would hide it."""

_OF_A_SCHEMA: Words = (
    "invalid schema",
    "invalid json schema",
    "schema is invalid",
    "schema is not valid",
    "schema for response_format",
    "contains features",
    "could not understand",
    "conversion failed",
    "unrecognized schema",
    # Not the word alone: a refusal may repeat the schema that it refuses.
    *(f"additionalproperties{end}" for end in (" ", "' is", "' must", "` is", "` must", ":false")),
    *(
        f"{at}schema{end}"
        for at in ("json_schema.", "response_format.", "json_schema']['")
        for end in (" ", ".", ":", "'")
    ),
    *(f"json_schema.{part}" for part in ("name", "description")),
)
"""How they say that this one schema is wrong, or has what a grammar cannot hold: the next may be right."""

_OF_A_NUMBER: Words = ("large", "greater", "less than", "exceed", "at most", "at least", "positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Concession:
    """One thing that a server may refuse.

    Attributes:
        key: The key of what is done then, in `Body.done`.
        refused: What the server does not take; each has another.
        instead: What is done in its place.
        signs: Words that name it, in lower case; all of one entry must be there.
        names: Gives what else may name it: names in this body that are not known before, as an error quotes them.
        says: Words of which one must be there as well; empty: none.
        unless: Words that mean another error.
        of_a_template: Whether the words are those of a chat template. Its errors come with a status 500, too.
        without_words: Whether a refusal that says nothing at all may mean this.
        change: The server that takes it in no such form.
    """

    key: str
    refused: str
    instead: str
    signs: tuple[Words, ...]
    names: Callable[[Mapping[str, Any]], Iterable[str]] = lambda _: ()
    says: Words = ()
    unless: Words = ()
    of_a_template: bool = False
    without_words: bool = False
    change: Callable[[Server], Server]

    def is_meant(self, words: str, fields: Mapping[str, Any]) -> bool:
        """Whether an error with these words, in lower case, refuses it in a body of these fields."""
        quoted = (sign for name in self.names(fields) for sign in _quoted(name.lower()))
        return (
            any(all(word in words for word in sign) for sign in (*self.signs, *quoted))
            and (not self.says or any(word in words for word in self.says))
            and not any(word in words for word in self.unless)
        )


def _at_least(order: RoleOrder) -> Callable[[Server], Server]:
    """At least as strict an order of roles."""
    return lambda server: replace(server, roles=max(server.roles, order, key=ROLE_ORDERS.index))


def _quoted(name: str) -> tuple[Words, ...]:
    """A name that is an ordinary word as well, as servers quote it or point to it."""
    return (
        (f"'{name}'",),
        (f'"{name}"',),
        (f"`{name}`",),
        (f" {name}: ",),
        (f".{name}:",),
        (f"parameter: {name}",),
        (f"field: {name}",),
    )


# What chat templates and servers say: of Qwen, Mistral, Gemma, Llama, of Mistral's API, Gemini's, Anthropic's and
# Bedrock's behind gateways, of vLLM, TGI and llama.cpp.
_PLACES = ("beginning", " first", " start", " top", "index", "position", "preced", "come before")
_NOT_A_ROLE = ("unexpected", "invalid", "unsupported", "unknown")
_SYSTEM_FIRST: tuple[Words, ...] = (
    *(("system", thing, place) for thing in ("message", "role", "prompt") for place in _PLACES),
    # Perhaps it is refused anywhere; but if it is, then at the beginning as well, which is tried first.
    *((f"{word} {thing}", "system") for word in _NOT_A_ROLE for thing in ("role", "message role")),
    *((f"'system' is {refused}", "role") for refused in ("not an allowed", "not a valid", "not allowed")),
    ("multiple system messages",),
    ("one system message",),
    ("system", "only once"),
    ("only user, assistant and tool roles",),
    ("only user, assistant, and tool roles",),
)
_ALTERNATE: tuple[Words, ...] = (
    ("must alternate",),
    ("should alternate",),
    ("alternating", "role"),
    ("unexpected role", "after role"),
    ("invalid_request_message_order",),
    ("consecutive", "role"),
    ("consecutive", "messages"),
    ("first message must", "user"),
    ("must start with a user",),
    *(("unexpected role", role, place) for role in ("user", "assistant") for place in ("index", "position")),
    ("only user and assistant roles",),
)
_NO_OTHER_ROLE: tuple[Words, ...] = (
    *((f"{role} role", refused) for role in ("system", "tool") for refused in ("not support", "not allowed")),
    *((f"role {quote}{role}{quote}", "support") for role in ("system", "tool") for quote in ("'", '"', "`", "")),
    *((f"{word} role", role) for role in ("system", "tool") for word in _NOT_A_ROLE),
    *((f"'{role}' is not a{end}", "role") for role in ("system", "tool") for end in ("n allowed", " valid", "llowed")),
    ("not support", "system message"),
    ("n't support", "system"),
    ("developer instruction is not enabled",),
    ("only user and assistant roles",),
    ("must alternate",),  # also where they do, but for the results of tools
)

CONCESSIONS: tuple[Concession, ...] = (
    Concession(
        key="stream_options",
        refused="stream_options",
        instead="it is left out, and usage is read where the server reports it unasked",
        signs=(("stream_options",), ("include_usage",)),
        without_words=True,  # some servers that do not know it say nothing at all
        change=lambda server: replace(server, drops=server.drops | {"stream_options"}),
    ),
    Concession(
        key="include",
        refused="include",
        instead="it is left out: such a model has no reasoning to send back",
        # OpenAI says "Encrypted content is not supported with this model."
        signs=(("encrypted content",), ("encrypted_content",), *_quoted("include")),
        says=_NOT_TAKEN,
        change=lambda server: replace(server, drops=server.drops | {"include"}),
    ),
    Concession(
        key="limit",
        refused="max_tokens",
        instead="`max_completion_tokens` is sent",
        # OpenAI says "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        signs=(("max_completion_tokens",),),
        says=(*_NOT_TAKEN, "instead"),
        unless=_OF_A_NUMBER,
        change=lambda server: replace(server, names={**server.names, "max_tokens": "max_completion_tokens"}),
    ),
    Concession(
        key="limit",
        refused="max_completion_tokens",
        instead="`max_tokens` is sent",
        signs=(("max_completion_tokens",),),
        says=(*_NOT_TAKEN, "instead"),
        unless=_OF_A_NUMBER,
        change=lambda server: replace(server, names={k: v for k, v in server.names.items() if k != "max_tokens"}),
    ),
    Concession(
        key="parallel_tool_calls",
        refused="parallel_tool_calls",
        instead="it is left out; where it was `False`, calls beyond the first are dropped",
        signs=(("parallel_tool_calls",), ("parallel tool calls",)),
        says=_NOT_TAKEN,
        change=lambda server: replace(server, drops=server.drops | {"parallel_tool_calls"}),
    ),
    Concession(
        key="strict",
        refused="strict",
        instead="it is left out",
        # Before what it is a part of: "response_format.json_schema.strict: Extra inputs are not permitted".
        signs=(*_quoted("strict"), (".strict",)),
        says=_NOT_TAKEN,
        change=lambda server: replace(server, strict=False),
    ),
    Concession(
        key="choices",
        refused="a tool_choice that names a tool",
        instead='`"required"` is sent with that one tool',
        # LM Studio says "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
        signs=(("tool_choice",), ("tool choice",)),
        says=_OTHER_FORM,
        unless=_OF_A_TOOL,
        change=lambda server: replace(server, choices=server.choices - {"named"}),
    ),
    Concession(
        key="choices",
        refused="tool_choice required",
        instead='the tool is named if there is one, else `"auto"` is sent; the answer is checked',
        signs=(("tool_choice",), ("tool choice",)),
        says=_OTHER_FORM,
        unless=_OF_A_TOOL,
        change=lambda server: replace(server, choices=server.choices - {"required"}),
    ),
    Concession(
        key="choices",
        refused="tool_choice",
        instead="it is left out; the answer is checked",
        signs=(("tool_choice",),),
        says=_NOT_TAKEN,
        unless=_OF_A_TOOL,
        change=lambda server: replace(server, choices=frozenset()),
    ),
    Concession(
        key="schema",
        refused="response_format json_schema",
        instead="the schema goes into the prompt, with JSON mode; the answer is checked",
        signs=(("response_format",), ("json_schema",), ("json schema",), ("structured output",)),
        says=_OTHER_FORM,
        unless=_OF_A_SCHEMA,
        change=lambda server: replace(
            server, schema="json_object" if server.json_mode and server.schema == "json_schema" else "words"
        ),
    ),
    Concession(
        key="schema",
        refused="response_format json_object",
        instead="the prompt asks for JSON; the answer is checked",
        signs=(("response_format",), ("json_object",), ("json mode",)),
        says=_OTHER_FORM,
        unless=("the word 'json'", 'the word "json"', *_OF_A_SCHEMA),  # the word that the prompt lacks
        change=lambda server: replace(
            server, json_mode=False, schema="words" if server.schema == "json_object" else server.schema
        ),
    ),
    Concession(
        key="stop",
        refused="so many stop strings",
        instead="langplug cuts the answer itself",
        signs=(*_quoted("stop"), ("stop sequences",), ("stop_sequences",)),
        says=(*_NOT_TAKEN, "too long", "too many", "at most", "maximum"),
        change=lambda server: replace(server, most_stops=0),
    ),
    Concession(
        key="developer_role",
        refused="the role developer",
        instead="`system` is sent",
        signs=(("developer", "role"), ("developer", "variant")),
        says=_OTHER_FORM,
        of_a_template=True,
        change=lambda server: replace(server, developer_role=False),
    ),
    Concession(
        key="roles",
        refused="system messages that are not first",
        instead='`roles="system first"`',
        signs=_SYSTEM_FIRST,
        of_a_template=True,
        change=_at_least("system first"),
    ),
    Concession(
        key="roles",
        refused="roles that do not alternate",
        instead='`roles="alternating"`',
        signs=_ALTERNATE,
        of_a_template=True,
        change=_at_least("alternating"),
    ),
    Concession(
        key="roles",
        refused="roles other than user and assistant",
        instead='`roles="user and assistant"`',
        signs=_NO_OTHER_ROLE,
        of_a_template=True,
        change=_at_least("user and assistant"),
    ),
    Concession(
        key="extra_call_keys",
        refused="unknown keys of calls",
        instead="they are left out, also where the server sent them itself",
        # pydantic says "messages.1.tool_calls.0.status: Extra inputs are not permitted", serde
        # "messages[1].tool_calls[0]: unknown field `status`", and other validators the key alone.
        signs=((".tool_calls",), ("tool_calls[",), ("tool_calls.",)),
        names=lambda fields: extra_call_keys(fields["messages"]),
        says=_NOT_TAKEN,
        change=lambda server: replace(server, extra_call_keys=False),
    ),
    Concession(
        key="carried_fields",
        refused="fields that its answers bring",
        instead="they are left out, also where they hold a signature",
        # Before the reasoning itself: "messages.1.reasoning_details: Extra inputs are not permitted".
        signs=(),
        names=lambda fields: carried_fields(fields["messages"]),
        says=_NOT_TAKEN,
        change=lambda server: replace(server, carried_fields=False),
    ),
    Concession(
        key="one_call_a_turn",
        refused="several calls in one turn",
        instead="earlier calls are sent one a turn",
        signs=(("multiple tool calls", "not supported"),),
        change=lambda server: replace(server, one_call_a_turn=True),
    ),
    Concession(
        key="names",
        refused="names of messages",
        instead="they are left out",
        # OpenAI says "Invalid 'messages[1].name': string does not match pattern", and Mistral
        # "messages.0.user.name: Extra inputs are not permitted".
        signs=(("messages", ".name"), *(("message", *name) for name in _quoted("name"))),
        says=_OTHER_FORM,
        unless=("function.name",),
        change=lambda server: replace(server, names_messages=False),
    ),
    Concession(
        key="call_ids",
        refused="ids of calls of this form",
        instead="they become nine letters and digits",
        # Mistral says "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."
        signs=(
            ("tool call id", "must be"),
            ("tool_call_id", "pattern"),
            ("tool_calls", ".id", "too long"),
            ("tool_calls", ".id", "pattern"),
            ("tool_call_id", "too long"),
            ("tool_use", "id", "pattern"),
        ),
        change=lambda server: replace(server, call_ids="[a-zA-Z0-9]{9}"),
    ),
    Concession(
        key="text_parts",
        refused="content in parts",
        instead="parts of text become one string",
        signs=(("content", "sequence", "string"), ("content", "valid string"), ("content", "must be a string")),
        change=lambda server: replace(server, text_parts=False),
    ),
    Concession(
        key="reasoning_as",
        refused="a field for earlier reasoning",
        instead="it goes into the text, between `<think>` and `</think>`",
        signs=(("message", "reasoning_content"), ("message", ".reasoning"), ("message", "'reasoning'")),
        says=_NOT_TAKEN,
        change=lambda server: replace(server, reasoning_as="think_tags"),
    ),
    Concession(
        key="reasoning",
        refused="earlier turns without their reasoning",
        instead='`keep_reasoning="all"`',
        # DeepSeek says "The reasoning_content in the thinking mode must be passed back to the API."
        signs=(("reasoning_content", "passed back"), ("reasoning_content", "missing")),
        change=lambda server: replace(server, keep_reasoning="all"),
    ),
)
"""In the order in which they are tried."""

_REFUSALS = frozenset({None, 400, 404, 415, 422, 501})
"""Statuses of refusals. 404 is OpenRouter's "No endpoints found that support ..."; None is that of an error in a body
whose status is 200."""

_LONGEST = 2_000  # characters: what comes later in an error may be the request, repeated


def concessions_for(error: ModelError, made: Sequence[Concession], fields: Mapping[str, Any]) -> Iterator[Concession]:
    """What `error`, the answer to a body of these `fields`, may be cured by, apart from what was `made` before."""
    if isinstance(error, ContextOverflowError | RefusalError):
        return
    if not isinstance(error, ModelInvalidRequestError | ModelNotFoundError | ModelAPIError):
        return
    status, words = getattr(error, "status_code", None), str(error)[:_LONGEST].lower()
    says_nothing = status in {400, 422} and "without a message" in words
    for one in CONCESSIONS:
        is_refusal = status in _REFUSALS or (status == 500 and one.of_a_template)
        if one not in made and ((is_refusal and one.is_meant(words, fields)) or (says_nothing and one.without_words)):
            yield one


# --- what is remembered ---

_adding = threading.Lock()  # of the module: a lock in the object could be neither copied nor pickled

Place = tuple[str, str]
"""An address, and the name of a model there: each has a chat template of its own."""


class Refusals:
    """What models have refused. A model and its copies share one, and threads may use it at once."""

    def __init__(self) -> None:
        self._keys: dict[Place, tuple[str, ...]] = {}  # plain data, so that it can be pickled

    def at(self, place: Place, more: Iterable[str] = ()) -> list[Concession]:
        """The concessions that the model at `place` needs; `more` is what it has refused besides."""
        refused = (*self._keys.get(place, ()), *more)
        return [one for one in CONCESSIONS if one.refused in refused] if refused else []

    def add(self, place: Place, made: Iterable[Concession], owner: str) -> None:
        """Remember what the model at `place` refused, and say so once, in the name of the class `owner`."""
        with _adding:
            known = self._keys.get(place, ())
            new = [one for one in made if one.refused not in known]
            self._keys[place] = (*known, *(one.refused for one in new))
        for one in new:
            log.info("%s: %s refuses %s; from now on %s", owner, place[0], one.refused, one.instead)


def concede(server: Server, made: Iterable[Concession]) -> Server:
    """The server as it is to be asked once these concessions are made."""
    for one in made:
        server = one.change(server)
    return server
