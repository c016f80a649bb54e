"""How one call is answered: what it asks for, against what the model can do by itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, HumanMessage, ToolMessage

from langplug._answer.parser import AnswerParser
from langplug._errors import UnsupportedError, advised
from langplug._messages.checks import check_messages
from langplug._messages.control_tokens import escape_control_tokens
from langplug._messages.kept_reasoning import KeepReasoning, drop_old_reasoning
from langplug._model.fields import ModelFields
from langplug._model.keywords import FOR_A_PARSER, parameters_in
from langplug._model.parameters import sort_call_arguments, warn_of_ignored
from langplug._model.reasoning import family_of, splitter_of
from langplug._model.requirements import CallRequirement, Requirement, SchemaRequirement
from langplug._model.state import forget_cached
from langplug._redaction import unconceal
from langplug._request import Cancellation, Request, Run
from langplug._tools import (
    TOOL_FORMATS,
    CallParser,
    LeakParser,
    ToolFormat,
    format_named,
    rewrite_history,
    with_instructions,
)
from langplug._tools.schema import ANY_JSON, call_schema, checker_of, json_schema_of
from langplug._tools.toolbox import Toolbox, ToolDict, refuse_tools, signature_of, toolbox_of

CALL_IN_JSON = "Call a tool by writing JSON with its name and its arguments. The tools are:\n{tools}"
"""For calls made of a schema: no example of one, since small models copy its arguments."""

KNOWN_TOOLS = "The tools that you have are listed here. You cannot call one of them now.\n{tools}"
"""For tools that were bound to a model whose answer is then wanted as an object."""

ANSWER_IN_JSON = "{lead} with JSON alone, without any other text. The JSON must fit this JSON schema:\n{schema}"

_NO_TOOLS = Toolbox()


class Plan:
    """How one call is answered.

    Attributes:
        model: The model with the parameters of this call.
        request: What its author gets.
        requirement: What the answer must hold, where the model cannot be trusted to.
        live: Show the answer as it comes all the same, and say where it begins anew: the caller can take it back.
        adaptations: What langplug does in the model's place, as far as it is known before the model answers.

    Raises:
        TypeError: If the call was given a parameter that the model does not have.
        ValueError: If the conversation or the tools are not such as it can be given.
        UnsupportedError: If it cannot do what is asked and must not be helped.
    """

    # What a call without tools and without a schema asks for, as most calls do.
    _box = _NO_TOOLS
    _callable: tuple[ToolDict, ...] = ()
    _schema: Any = None
    _calls_are_text = _constrains_calls = _prompts_schema = False

    def __init__(
        self,
        model: ModelFields,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | str | None,
        given: dict[str, Any],
        *,
        streaming: bool,
        run: Run,
    ) -> None:
        overrides, ignored, tooling, others = (
            sort_call_arguments(type(model), parameters_in(given), model.__langplug_takes__)
            if given
            else ({}, [], {}, {})
        )
        if overrides:
            model = with_overrides(model, model.__langplug_for_call__(overrides))
        self.model = model
        self._owner = owner = type(model).__name__
        if streaming and (several := model.answers_per_call) > 1:
            raise advised(UnsupportedError(f"{owner} cannot stream {several} answers at once. Use `generate`, or n=1."))
        in_force = model.stop if stop is None else stop
        self.live = given.get(FOR_A_PARSER) == "live"
        self.requirement: Requirement | None = None
        self._tool_calling = model.__langplug_tool_calling__()
        if tooling:
            self._read_tooling(tooling)
        if ignored and model.adaptations == "note":
            warn_of_ignored(type(model), ignored)
        ignored += model.ignored_params
        self.adaptations = self._note_adaptations(ignored) if tooling or ignored else []
        given_messages, changes = check_messages(
            messages, model.accepts, owner, lambda: (model.reported_name, model.reported_provider)
        )
        if escaped := escape_control_tokens(given_messages, model.__langplug_control_tokens__()):
            given_messages, changes = escaped, (*changes, "control tokens that they name were kept text")
        if changes:
            self.adaptations = [*self.adaptations, *(_note("messages", change) for change in changes)]
        request = Request(
            messages=given_messages,
            stop=(in_force,) if isinstance(in_force, str) else tuple(in_force or ()),
            streaming=streaming,
            params=model.__langplug_hide__({name: getattr(model, name) for name in overrides} | others)
            if overrides or others
            else {},
            keep_reasoning=model.keep_reasoning,
            origin=model.__langplug_origin__,
            thinking=thinking if isinstance(thinking := model.__dict__.get("thinking"), bool) else None,
            run=run,
        )
        helped = [*(note["feature"] for note in self.adaptations), *(["stop"] if request.stop else [])]
        if helped and model.adaptations == "refuse":
            error = UnsupportedError(f"{owner} cannot do {helped[0]!r} by itself. Leave it out.")
            raise advised(error, "Or set adaptations='note': 'refuse' forbids langplug to do it in its place.")
        for_a_parser = bool(tooling and given.get(FOR_A_PARSER))
        self.request = self._write_tools(request, for_a_parser=for_a_parser)
        if tooling:
            self._apply_tooling(tooling, messages, for_a_parser=for_a_parser)

    # --- what the call asks for ---

    def _read_tooling(self, tooling: Mapping[str, Any]) -> None:
        """Decide how the model is given tools and a schema: natively, or in the prompt."""
        model = self.model
        self._box = toolbox_of(tooling, self._owner, model.accepts) if tooling else _NO_TOOLS
        if self._box.tools and model.tool_calling == "off":
            raise refuse_tools(self._owner)
        # A class, a JSON schema, or one of OpenAI's forms, of which `text` asks for nothing.
        asked = tooling.get("response_format")
        kind = asked.get("type") if isinstance(asked, Mapping) else None
        self._schema = None if kind == "text" else ANY_JSON if kind == "json_object" else asked
        self._callable = self._box.callable_tools if self._box.tools else ()
        keeps_schemas = model.structured_output == "native"
        self._tool_calling = model.__langplug_tool_calling__(kept=self._box.forced or self._schema is not None)
        self._calls_are_text = self._tool_calling != "native" and bool(self._callable)
        # A model that keeps to schemas writes a forced call best as JSON of one: it cannot then write anything else.
        self._constrains_calls = self._calls_are_text and keeps_schemas and self._box.forced
        self._prompts_schema = self._schema is not None and (not keeps_schemas or self._calls_are_text)

    def _note_adaptations(self, ignored: Sequence[str]) -> list[dict[str, Any]]:
        notes = [_note(name, "ignored: the model has no such parameter") for name in dict.fromkeys(ignored)]
        if left_out := ", ".join(map(repr, self._box.left_out)):
            notes.append(_note("tools", f"left out {left_out}: run at a provider that this model does not speak to"))
        if self._constrains_calls:
            notes.append(_note("tools", "kept to a schema of calls, which were read out of the text"))
        elif self._calls_are_text:
            how = "prompted" if self._tool_calling == "prompted" else "in the chat template; calls"
            name = self._tool_format().name
            notes.append(_note("tools", f"{how} in the {name!r} format of calls, which were read out of the text"))
        if self._prompts_schema:
            notes.append(_note("structured_output", "prompted, checked, and asked for again where it does not fit"))
        return notes

    def _tool_format(self) -> ToolFormat:
        """How calls stand in the model's text: as its `tool_format` says, else as models of its kind write them."""
        chosen = self.model.tool_format
        if isinstance(chosen, ToolFormat):
            return chosen
        if chosen == "off":
            message = (
                f"{self._owner}: tool_format='off' is for models that call tools natively. This one writes calls as "
                "text: set tool_calling='off' to have it call none."
            )
            raise advised(ValueError(message))
        if chosen is not None:
            return format_named(chosen)
        return TOOL_FORMATS.get(family_of(self.model.tool_format_hints).tool_format, TOOL_FORMATS["default"])

    # --- what the author gets ---

    def _write_tools(self, request: Request, *, for_a_parser: bool) -> Request:
        """The request with what the model is told of tools in words: those it has, and what was done with them."""
        messages = request.messages
        # Also without tools in this call: an earlier turn may have had some, and its calls are in the history.
        if self._tool_calling == "prompted":
            # Old reasoning goes first: results of tools become human messages, each of which would begin a turn.
            if request.keep_reasoning == "current":
                messages = tuple(drop_old_reasoning(messages, request.keep_reasoning))
            # Most histories hold no call, and so need no format looked up.
            if any(
                not isinstance(message.content, str)
                or isinstance(message, ToolMessage | FunctionMessage)
                or "function_call" in message.additional_kwargs
                or (isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls))
                for message in messages
            ):
                messages = tuple(rewrite_history(messages, self._tool_format()))
            if self._constrains_calls:
                tools = "\n".join(_compact(tool["function"]) for tool in self._callable)
                messages = tuple(with_instructions(messages, CALL_IN_JSON.format(tools=tools)))
            elif self._calls_are_text:
                text = self._tool_format().instructions(self._callable, self._box.choice, self._box.parallel)
                messages = tuple(with_instructions(messages, text))
        shows_others = for_a_parser and self._tool_calling in ("prompted", "templated")
        if shows_others and (known := [tool for tool in self._box.tools if tool not in self._callable]):
            tools = "\n".join(signature_of(tool) for tool in known)
            messages = tuple(with_instructions(messages, KNOWN_TOOLS.format(tools=tools)))
        if messages is request.messages:
            return request
        if self._tool_calling != "prompted":
            return replace(request, messages=messages)
        # What "current" leaves out is gone already; the rest must not be left out again by `openai_messages`.
        policy: KeepReasoning = "never" if request.keep_reasoning == "never" else "all"
        return replace(request, messages=messages, keep_reasoning=policy)

    def _apply_tooling(self, tooling: Mapping[str, Any], history: Sequence[BaseMessage], *, for_a_parser: bool) -> None:
        """Give the request what the model is to read itself, and say what the answer must hold."""
        box, request = self._box, self.request
        if self._tool_calling != "prompted":
            # A template writes all tools that it is given, whatever the choice is.
            own = self._callable if self._tool_calling == "templated" else box.tools
            tools = (*own, *box.provider_tools)
            choice = box.choice if tools or not box.tools else None
            request = replace(request, tools=tools, tool_choice=choice, parallel_tool_calls=box.parallel)
        schema: dict[str, Any] | None = None
        if self._constrains_calls:
            schema = call_schema([tool["function"] for tool in self._callable])
        elif self._schema is not None and not self._prompts_schema:
            schema = json_schema_of(self._schema)
        if self._prompts_schema and not box.forced:
            lead = "Unless you call a tool, answer" if self._callable else "Answer"
            text = ANSWER_IN_JSON.format(lead=lead, schema=_compact(json_schema_of(self._schema)))
            request = replace(request, messages=tuple(with_instructions(request.messages, text)))
        if schema is not None:
            # Whether the model is to keep to it to the letter, by our keyword or in OpenAI's form.
            asked = tooling.get("response_format")
            form = asked.get("json_schema") if isinstance(asked, Mapping) else None
            strict = tooling.get("strict", form.get("strict") if isinstance(form, Mapping) else None)
            request = replace(request, schema=schema, strict=strict if isinstance(strict, bool) else None)
        self.request = request
        if box.forced:
            self.requirement = CallRequirement(box, for_a_parser=for_a_parser, history=history)
        elif self._schema is not None and (
            self._prompts_schema
            or not self.model.__langplug_keeps_to_schemas__
            or not request.streaming
            or for_a_parser
        ):
            # What the model keeps to by itself is not held back from those who read it as it comes.
            self.requirement = SchemaRequirement(checker_of(self._schema))

    # --- what becomes of the answer ---

    def new_parser(self) -> AnswerParser:
        """The parser of one attempt."""
        model = self.model
        calls: CallParser | None = None
        if self._constrains_calls:
            calls = TOOL_FORMATS["json"].parser(self._callable)
        elif self._calls_are_text:
            calls = self._tool_format().parser(self._callable)
        elif self._callable and model.tool_format != "off" and model.adaptations != "refuse":
            calls = LeakParser(self._tool_format(), self._callable)
        elif self._tool_calling != "native" and model.tool_format is None and family_of(model.tool_format_hints).framed:
            calls = self._tool_format().parser(())  # it leaves out the frames of what is text
        return AnswerParser(
            owner=f"{self._owner}.{model.__langplug_source__}",
            stop=self.request.stop,
            include_stop=model.include_stop,
            reasoning=splitter_of(model, self.request),
            calls_in_text=calls,
            tools=self._callable,
            most_calls=self._box.most_calls if self._box.tools else None,
        )

    def next_request(self, request: Request, answer: AIMessage, problem: str) -> Request:
        """The request for one more attempt: the last one, the answer to it, and what was wrong with that."""
        calls = (*answer.tool_calls, *answer.invalid_tool_calls)
        # Most servers refuse an empty assistant message.
        attempt = answer if calls or answer.content else AIMessage("(nothing)")
        corrections: list[BaseMessage] = [
            ToolMessage(problem, tool_call_id=str(call["id"]), name=call["name"], status="error") for call in calls
        ]
        messages: Sequence[BaseMessage] = [attempt, *(corrections or [HumanMessage(problem)])]
        if self._tool_calling == "prompted":
            messages = rewrite_history(messages, self._tool_format())
        return replace(request, messages=(*request.messages, *messages), cancellation=Cancellation())


def with_overrides(model: ModelFields, overrides: Mapping[str, Any]) -> ModelFields:
    """The model with the parameters of one call; it shares the resources that do not depend on them."""
    copied = model.model_copy()  # validated field by field below, as the constructor would
    forget_cached(copied)
    for name, value in overrides.items():
        type(model).__pydantic_validator__.validate_assignment(copied, name, unconceal(value))
    return copied


def _note(feature: str, action: str) -> dict[str, Any]:
    return {"feature": feature, "action": action}


def _compact(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
