"""How one call is answered: what it asks for, against what the model can do by itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, HumanMessage, ToolMessage

from langplug._answer.parser import AnswerParser
from langplug._answer.reasoning import ReasoningSplitter
from langplug._errors import UnsupportedError
from langplug._messages.checks import checked
from langplug._messages.kept_reasoning import KeepReasoning, without_old_thoughts
from langplug._model.langchain import FOR_A_PARSER, parameters_in
from langplug._model.parameters import Given, sorted_out
from langplug._model.requirements import CallRequirement, Requirement, SchemaRequirement
from langplug._request import Cancellation, Request
from langplug._tools import (
    TOOL_FORMATS,
    CallParser,
    ToolFormat,
    format_for,
    format_named,
    rewrite_history,
    with_instructions,
)
from langplug._tools.schema import ANY_JSON, call_schema, checker_of, json_schema_of
from langplug._tools.toolbox import refuse_tools, toolbox

if TYPE_CHECKING:
    from langplug._model.chat_model import ChatModel

CALL_IN_JSON = "Call a tool by writing JSON with its name and its arguments. The tools are:\n{tools}"
"""For calls made of a schema: no example of one, since small models copy its arguments."""

ANSWER_IN_JSON = "{lead} with JSON alone, without any other text. The JSON must fit this JSON schema:\n{schema}"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one call is answered.

    Attributes:
        model: The model with the parameters of this call.
        request: What its author gets.
        again: Makes the request for one more attempt, of the last one, the answer to it, and what is wrong with that.
        new_parser: Makes the parser of one attempt.
        requirement: What the answer must hold, where the model cannot be trusted to.
        live: Show the answer as it comes all the same, and say where it begins anew: the caller can take it back.
        adaptations: What langplug does in the model's place.
    """

    model: "ChatModel"
    request: Request
    again: Callable[[Request, AIMessage, str], Request]
    new_parser: Callable[[], AnswerParser]
    requirement: Requirement | None
    live: bool
    adaptations: list[dict[str, Any]]


def plan(
    model: "ChatModel",
    messages: Sequence[BaseMessage],
    stop: Sequence[str] | str | None,
    given: dict[str, Any],
    *,
    streaming: bool,
) -> Plan:
    """Plan the answer to `messages`.

    Raises:
        TypeError: If the call was given a parameter that the model does not have.
        ValueError: If the conversation or the tools are not such as it can be given.
        UnsupportedError: If it cannot do what is asked and must not be helped.
    """
    owner = type(model).__name__
    sorted_given = sorted_out(type(model), parameters_in(given))
    configured = _set_up(model, sorted_given.overrides)
    if streaming and (several := configured.answers_per_call) > 1:
        raise UnsupportedError(f"{owner} cannot stream {several} answers at once. Use `generate`, or n=1.")
    asked = _Asked(configured, sorted_given, stop, for_a_parser=bool(given.get(FOR_A_PARSER)))
    request = Request(
        messages=checked(messages, model.accepts, owner),
        stop=asked.stop,
        streaming=streaming,
        params={name: getattr(configured, name) for name in sorted_given.overrides},
        keep_reasoning=configured.keep_reasoning,
    )
    live = given.get(FOR_A_PARSER) == "live"
    return Plan(
        configured,
        asked.applied_to(request),
        asked.again,
        asked.new_parser,
        asked.requirement(streaming=streaming),
        live,
        asked.adaptations(),
    )


def _set_up(model: "ChatModel", overrides: Mapping[str, Any]) -> "ChatModel":
    """The model with the parameters of one call; it shares the resources that do not depend on them."""
    if not overrides:
        return model
    copied = model.model_copy()
    for name, value in overrides.items():
        type(model).__pydantic_validator__.validate_assignment(copied, name, value)
    return copied


class _Asked:
    """What one call asks for, and by which way the model gives it."""

    def __init__(
        self, model: "ChatModel", given: Given, stop: Sequence[str] | str | None, *, for_a_parser: bool
    ) -> None:
        self._for_a_parser = for_a_parser
        self._model = model
        self._owner = type(model).__name__
        self._given = given
        in_force = model.stop if stop is None else stop
        self.stop = (in_force,) if isinstance(in_force, str) else tuple(in_force or ())
        self._box = toolbox(given.tools, self._owner)
        self._schema = _schema_asked_for(given.tools.get("response_format"))
        self._prompts_tools = model.tool_calling != "native" and bool(self._box.callable_tools)
        self._keeps_schemas = model.structured_output == "native"
        self._constrains_calls = self._prompts_tools and self._box.forced and self._keeps_schemas
        self._prompts_schema = self._schema is not None and (not self._keeps_schemas or self._prompts_tools)
        if self._box.tools and model.tool_calling == "off":
            raise refuse_tools(self._owner)
        self._check_policy()

    @cached_property
    def _format(self) -> ToolFormat:
        return format_of(self._model)

    # --- what the author gets ---

    def applied_to(self, request: Request) -> Request:
        """The request as this model can understand it."""
        if self._model.tool_calling != "prompted":
            request = replace(
                request, tools=self._box.tools, tool_choice=self._box.choice, parallel_tool_calls=self._box.parallel
            )
        else:
            request = self._as_text(request)
        if self._prompts_schema and not self._box.forced:
            lead = "Unless you call a tool, answer" if self._box.callable_tools else "Answer"
            text = ANSWER_IN_JSON.format(lead=lead, schema=_compact(json_schema_of(self._schema)))
            request = replace(request, messages=tuple(with_instructions(request.messages, text)))
        schema = self._kept_schema()
        return request if schema is None else replace(request, schema=schema, strict=_strict(self._given.tools))

    def again(self, request: Request, answer: AIMessage, problem: str) -> Request:
        """The request with an answer that did not do, and what was wrong with it."""
        calls = (*answer.tool_calls, *answer.invalid_tool_calls)
        said = answer if calls or answer.content else AIMessage("(nothing)")
        told: list[BaseMessage] = [
            ToolMessage(problem, tool_call_id=str(call["id"]), name=call["name"], status="error") for call in calls
        ]
        correction: Sequence[BaseMessage] = [said, *(told or [HumanMessage(problem)])]
        if self._model.tool_calling != "native":
            correction = rewrite_history(correction, self._format)
        return replace(request, messages=(*request.messages, *correction), cancellation=Cancellation())

    def _as_text(self, request: Request) -> Request:
        """The tools, and what was done with them before, in words."""
        kept = without_old_thoughts(request.messages, request.keep_reasoning)  # results in words begin no turn
        messages = rewrite_history(kept, self._format) if any(map(_may_hold_calls, kept)) else kept
        if self._prompts_tools:
            messages = with_instructions(messages, self._instructions())
        if messages is request.messages:
            return request
        policy: KeepReasoning = "never" if request.keep_reasoning == "never" else "all"
        return replace(request, messages=tuple(messages), keep_reasoning=policy)

    def _instructions(self) -> str:
        box = self._box
        if self._constrains_calls:
            return CALL_IN_JSON.format(tools="\n".join(_compact(tool["function"]) for tool in box.callable_tools))
        return self._format.instructions(box.callable_tools, box.choice, box.parallel)

    def _kept_schema(self) -> dict[str, Any] | None:
        """The schema that the model is to keep by itself, if there is one."""
        if self._constrains_calls:
            return call_schema([tool["function"] for tool in self._box.callable_tools])
        if self._schema is None or not self._keeps_schemas or self._prompts_tools:
            return None
        return json_schema_of(self._schema)

    # --- what becomes of the answer ---

    def new_parser(self) -> AnswerParser:
        """The parser of one attempt."""
        return AnswerParser(
            owner=f"{self._owner}.respond",
            stop=self.stop,
            include_stop=self._model.include_stop,
            reasoning=self._splitter(),
            calls_in_text=self._call_parser(),
            most_calls=self._box.most_calls,
        )

    def _call_parser(self) -> CallParser | None:
        if not self._prompts_tools:
            return None
        written = TOOL_FORMATS["json"] if self._constrains_calls else self._format
        return written.parser(self._box.callable_tools)

    def requirement(self, *, streaming: bool) -> Requirement | None:
        """What the answer must hold, where the model cannot be trusted to."""
        if self._box.forced:
            return CallRequirement(self._box, "give" if self._for_a_parser else "raise")
        if self._schema is None or (not self._prompts_schema and streaming and not self._for_a_parser):
            return None  # what the model keeps to by itself need not be held back from who reads it as it comes
        return SchemaRequirement(checker_of(self._schema), "give")

    def adaptations(self) -> list[dict[str, Any]]:
        """What langplug does in the model's place, known before it answers."""
        notes = [_note(name, "ignored: the model has no such parameter") for name in self._ignored]
        if self._prompts_tools:
            how = (
                "kept to a schema of" if self._constrains_calls else f"prompted in the {self._format.name!r} format of"
            )
            notes.append(_note("tools", f"{how} calls, which were read out of the text"))
        if self._prompts_schema:
            notes.append(_note("structured_output", "prompted, checked, and asked for again where it does not fit"))
        return notes

    def _splitter(self) -> ReasoningSplitter | None:
        if self._model.reasoning_tags is None:
            return None
        opener, closer = self._model.reasoning_tags
        return ReasoningSplitter(opener, closer, opened=self._model.reasoning_opened)

    @property
    def _ignored(self) -> list[str]:
        return list(dict.fromkeys([*self._given.ignored, *self._model.ignored_params]))

    def _check_policy(self) -> None:
        if self._model.adaptations != "refuse":
            return
        needed = [*(note["feature"] for note in self.adaptations()), *(["stop"] if self.stop else [])]
        if needed:
            raise UnsupportedError(
                f"{self._owner} cannot do {needed[0]!r} by itself, and adaptations='refuse' forbids to do it "
                "in its place. Leave it out, or set adaptations='note'."
            )


def _may_hold_calls(message: BaseMessage) -> bool:
    """Whether a history with `message` has to be rewritten. Most have not, and so need no format looked up."""
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        return True
    plain = isinstance(message.content, str) and "function_call" not in message.additional_kwargs
    return not plain or isinstance(message, ToolMessage | FunctionMessage)


def format_of(model: "ChatModel") -> ToolFormat:
    """How calls stand in the model's text: as its `tool_format` says, else as models of its kind write them."""
    chosen = model.tool_format
    if isinstance(chosen, ToolFormat):
        return chosen
    if chosen is None:
        formats = (format_for(hint) for hint in model.tool_format_hints)
        return next((known for known in formats if known.name != "default"), TOOL_FORMATS["default"])
    return format_named(chosen)


def _note(feature: str, action: str) -> dict[str, Any]:
    return {"feature": feature, "action": action}


def _schema_asked_for(response_format: Any) -> Any:
    """The schema that a `response_format` holds: a class, a JSON schema, or OpenAI's form; None for plain text."""
    if response_format is None or (isinstance(response_format, Mapping) and response_format.get("type") == "text"):
        return None
    if isinstance(response_format, Mapping) and response_format.get("type") == "json_object":
        return ANY_JSON
    return response_format


def _strict(given: Mapping[str, Any]) -> bool | None:
    """Whether the schema is to be kept to the letter, as `with_structured_output` or OpenAI's form says it."""
    asked = given.get("response_format")
    inner = asked.get("json_schema") if isinstance(asked, Mapping) else None
    said = given.get("strict", inner.get("strict") if isinstance(inner, Mapping) else None)
    return said if isinstance(said, bool) else None


def _compact(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
