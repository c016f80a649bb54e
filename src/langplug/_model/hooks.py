"""The hooks that LangChain's own guides have authors write, as the source of a model.

`BaseChatModel` asks for `_generate` and, if one likes, `_stream`, `_agenerate` and `_astream`; `SimpleChatModel` and
`LLM` for `_call`. A class with such hooks and no `respond` gets one here that calls them, and all the rest is derived
as for any other model: https://docs.langchain.com/oss/python/contributing/implement-langchain.

On the model itself `_generate` must be langplug's, while the hooks call each other (`self._stream`,
`super()._generate`) as they were written. So each hook of an author has a door before it. langchain-core, which asks
the model, is led to langplug; the hooks see a stand-in of the model, and are led to each other. The stand-in shares
all that the model holds.
"""

import dis
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseCallbackManager, CallbackManagerForLLMRun
from langchain_core.callbacks.manager import AsyncParentRunManager, ParentRunManager
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.utils.uuid import uuid7
from pydantic import SecretStr

from langplug._bridge.shapes import Shape
from langplug._model.annotations import read_signature
from langplug._model.keywords import TRACING_ONLY
from langplug._model.state import INSIDE, set_slots, slots_of
from langplug._redaction import unconceal
from langplug._request import Request

WHOLE = ("_generate", "_call", "_agenerate", "_acall")
STREAMED = ("_stream", "_astream")
HOOKS = (*WHOLE, *STREAMED)
"""The hooks of a `BaseChatModel`, a `SimpleChatModel` and an `LLM`."""

CORES = ("_generate", "_agenerate", "_stream", "_astream")
"""Those of them that langchain-core calls on any chat model."""

_ORDERS = {
    # streamed, on a loop: who reads a stream wants one; who waits on a loop should be able to leave
    (False, False): ("_generate", "_call", "_stream", "_agenerate", "_acall", "_astream"),
    (True, False): ("_stream", "_astream", "_generate", "_call", "_agenerate", "_acall"),
    (False, True): ("_agenerate", "_acall", "_astream", "_generate", "_call", "_stream"),
    (True, True): ("_astream", "_stream", "_agenerate", "_acall", "_generate", "_call"),
}

_MACHINERY = frozenset(f"langchain_core.language_models.{name}" for name in ("base", "chat_models", "llms"))
"""The modules of `BaseChatModel`, `SimpleChatModel` and `LLM`: what these have by themselves only calls the hooks."""


# --- which hooks a class has ---


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook, and how it is called.

    Attributes:
        name: What it is called.
        reads: What it takes first: messages, or text as an `LLM` does.
        named: The parameters that it names.
        has_kwargs: Whether it takes any other keyword.
        uses_kwargs: Whether it makes use of those.
        only_tells: Whether all that it does with `run_manager` is to tell it tokens.
    """

    name: str
    reads: Literal["messages", "prompt", "prompts"]
    named: frozenset[str]
    has_kwargs: bool
    uses_kwargs: bool
    only_tells: bool

    @classmethod
    def of(cls, owner: type, name: str, method: Any) -> "Hook":
        """The hook `name` of a class, which is this method."""
        parameters = list(read_signature(getattr(method, "__func__", method)).parameters.values())
        # of what a decorator made of it, `self` may be among the `*args`
        if parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            del parameters[0]
        kwargs = [one.name for one in parameters if one.kind is inspect.Parameter.VAR_KEYWORD]
        code = getattr(inspect.unwrap(method), "__code__", None)
        uses = [] if code is None else [*_after_loads(code, "run_manager")]
        asks = ("POP_JUMP", "TO_BOOL", "JUMP_IF")
        reads: Literal["messages", "prompt", "prompts"] = "messages"
        if parameters:
            written = parameters[0].annotation
            text = written.__name__ if type(written) is type else str(written).replace("typing.", "")
            is_llm = any(base.__qualname__ == "BaseLLM" and base.__module__ in _MACHINERY for base in owner.__mro__)
            if parameters[0].name == "prompts" or re.fullmatch(r"([Ll]ist|Sequence)\[str\]", text):
                reads = "prompts"
            elif text == "str" or parameters[0].name == "prompt" or is_llm:
                reads = "prompt"
        return cls(
            name,
            reads,
            frozenset(one.name for one in parameters[1:]) - {*kwargs},
            has_kwargs=bool(kwargs),
            uses_kwargs=bool(kwargs) and (code is None or any(True for _ in _after_loads(code, kwargs[0]))),
            only_tells=code is not None
            and all(one.argval == "on_llm_new_token" or one.opname.startswith(asks) for one in uses),
        )

    @property
    def is_async(self) -> bool:
        """Whether it is called on an event loop."""
        return self.name.startswith("_a")

    def takes(self, keyword: str) -> bool:
        """Whether it makes use of a keyword.

        Not of `n` unless it names it: of several answers to one prompt only the first would be left.
        """
        return keyword in self.named or (self.uses_kwargs and keyword != "n")

    def call(self, model: Any, request: Request, given: Mapping[str, Any]) -> Any:
        """What it answers, as it gives it: a result, an iterator, an awaitable, an async iterator."""
        keywords = dict(given)
        if "stop" in self.named or self.has_kwargs:
            keywords.setdefault("stop", list(request.stop) or None)
        if "run_manager" in self.named:
            keywords["run_manager"] = self.run_manager(request)
        asked: Any = [*request.messages]
        if self.reads != "messages":
            # As langchain-core's `LLM` is asked: a single text as it is, a conversation as one text.
            only = asked[0].content if len(asked) == 1 and isinstance(asked[0], HumanMessage) else None
            asked = only if isinstance(only, str) else request.prompt()
        return getattr(model, self.name)([asked] if self.reads == "prompts" else asked, **keywords)

    def run_manager(self, request: Request) -> "_HookRun | _AsyncHookRun":
        """The run of a request, as langchain-core's hooks are given it."""
        run = request.run
        within = run.config.get("callbacks")
        handlers = within.inheritable_handlers if isinstance(within, BaseCallbackManager) else []
        kind = _AsyncHookRun if self.is_async else _HookRun
        made = kind(
            run_id=run.id or uuid7(),
            parent_run_id=run.parent_id,
            # Those that hear what is called within the run: the run itself is not theirs to report.
            handlers=handlers,
            inheritable_handlers=handlers,
            tags=[*run.tags],
            inheritable_tags=[*run.tags],
            metadata={**run.metadata},
            inheritable_metadata={**run.metadata},
        )
        made.is_read = not self.only_tells
        return made


@cache
def hooks_of(cls: type) -> dict[str, Hook]:
    """The hooks that a class has, by name, wherever it has them from."""
    return {name: Hook.of(cls, name, raw) for name in HOOKS if (raw := find_method(cls, name)) is not None}


def hook_for(cls: type, request: Request, *, on_loop: bool) -> Hook:
    """The hook that answers a request in the form and colour that is wanted, or in the next best.

    One that makes use of what else the call asks for, such as tools, comes before one that does not.
    """
    hooks = hooks_of(cls)
    ordered = [hooks[name] for name in _ORDERS[request.streaming, on_loop] if name in hooks]
    wanted = [*(name for name in request.params if name not in getattr(cls, "model_fields", ()))]
    wanted += [*(["tools"] if request.tools else []), *(["response_format"] if request.schema is not None else [])]
    return next((hook for hook in ordered if all(map(hook.takes, wanted))), ordered[0])


def find_method(cls: type, name: str) -> Any:
    """An author's own method of this name, as it stands in the class that has it; None if there is none.

    One that calls `super()` extends another's. Where that is langplug's or langchain-core's, it is nobody's own.
    """
    found: list[Any] = []
    for base in cls.__mro__:
        if base.__module__ in _MACHINERY or base.__module__.startswith("langplug."):
            continue
        method = vars(base).get(name)
        if hasattr(method, "__langplug_door__"):
            method = vars(method)["__wrapped__"]
        if method is not None and name in ("_call", "_acall"):
            # That of a `SimpleChatModel` or an `LLM`, by its parameters: authors have others of this name.
            names = list(getattr(getattr(inspect.unwrap(method), "__code__", None), "co_varnames", ()))
            if {"stop", "run_manager"}.isdisjoint(names) and names[1:2] not in (["messages"], ["prompt"]):
                continue
        if method is not None and not is_stub(method):
            found.append(method)
    return found[0] if not all(extends(method, name) for method in found) else None


def extends(method: Any, name: str) -> bool:
    """Whether a method calls the one of this name by `super()`."""
    code = getattr(method, "__code__", None)
    return code is not None and "__class__" in code.co_freevars and name in code.co_names


def is_stub(method: Any) -> bool:
    """Whether a method only says that there is none: `raise NotImplementedError`, or `...`."""
    code = getattr(method, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        return False
    raises = "NotImplementedError" in code.co_names and {*code.co_names} <= {"NotImplementedError", "type", "__name__"}
    reads = any(one.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) for one in dis.get_instructions(code))
    gives_nothing = {*code.co_consts} <= {None, ..., method.__doc__} and not (reads or code.co_names)
    return raises or gives_nothing or getattr(method, "__isabstractmethod__", False)


def hooks_in(body: Mapping[str, Any]) -> list[str]:
    """The hooks in a class's body that answer by themselves.

    One that calls `super()`, or another of them, is an extension of that, such as one that logs or counts.
    """
    codes = {name: value.__code__ for name in CORES if inspect.isfunction(value := body.get(name))}
    names = {name: {*code.co_freevars, *code.co_names} for name, code in codes.items()}
    found = [name for name in codes if names[name].isdisjoint({"__class__", *CORES})]
    # What calls another hook extends it, unless that is one that answers: then it does so, too.
    return [name for name in codes if name in found or ("__class__" not in names[name] and names[name] & {*found})]


def binds_tools(body: Mapping[str, Any]) -> bool | None:
    """Whether a class's own `bind_tools` binds them; None if the body has none, or one that extends another."""
    method = body.get("bind_tools")
    if not inspect.isfunction(method) or hasattr(method, "__langplug_door__") or extends(method, "bind_tools"):
        return None
    # A copy that holds them is as good; one that calls the other by name is an extension.
    return not {"bind", "bind_tools", "model_copy", "copy", "RunnableBinding"}.isdisjoint(method.__code__.co_names)


def has_own_tools(cls: type) -> bool:
    """Whether a class has a `bind_tools` of its author's that gives its hooks the tools, and not only stores them."""
    method = find_method(cls, "bind_tools")
    return method is not None and binds_tools({"bind_tools": method}) is not False


def _after_loads(code: Any, name: str) -> Iterator[dis.Instruction]:
    """The instruction after each that loads a variable: what becomes of it."""
    instructions = [one for one in dis.get_instructions(code) if one.opname not in ("CACHE", "COPY", "EXTENDED_ARG")]
    for one, after in pairwise(instructions):
        # Python 3.13 loads two variables by one instruction.
        loaded = one.argval if isinstance(one.argval, tuple) else (one.argval,)
        if one.opname.startswith("LOAD_") and name in loaded and one.opname not in ("LOAD_CONST", "LOAD_ATTR"):
            yield after
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _after_loads(constant, name)


# --- what they are given ---


class _HookRun(CallbackManagerForLLMRun, ParentRunManager):
    """The run as a hook sees it. What it is told of tokens, langchain-core tells by itself: it would be told twice."""

    is_read = True

    def __bool__(self) -> bool:
        # The page's own hook tells a token that there is none of where the answer is empty: an error, for nobody.
        return self.is_read

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    on_llm_end = on_llm_error = on_stream_event = on_llm_new_token


class _AsyncHookRun(AsyncCallbackManagerForLLMRun, AsyncParentRunManager):
    """As `_HookRun`, for hooks that are awaited."""

    is_read = True

    def __bool__(self) -> bool:
        return self.is_read

    async def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    on_llm_end = on_llm_error = on_stream_event = on_llm_new_token

    def get_sync(self) -> CallbackManagerForLLMRun:
        """This run, for a hook that is not awaited."""
        made = _HookRun(**{name: value for name, value in vars(self).items() if name != "is_read"})
        made.is_read = self.is_read
        return made


def parameters_in(request: Request, hook: Hook, fields: Iterable[str]) -> dict[str, Any]:
    """The parameters of a call that go to a hook: those that it names, and those that are no `fields` of the model."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else unconceal(value)
        for name, value in request.params.items()
        if name in hook.named or name not in fields  # the model has the others for as long as the call lasts
    }


def openai_tools(request: Request, hook: Hook) -> dict[str, Any]:
    """The tools of a request as keywords in OpenAI's form."""
    choices = {"tool_choice": request.tool_choice, "parallel_tool_calls": request.parallel_tool_calls}
    taken = {name: value for name, value in choices.items() if value is not None and hook.takes(name)}
    return {"tools": [*request.tools], **taken} if request.tools else {}


def openai_schema(request: Request) -> dict[str, Any]:
    """The schema of a request as a keyword in OpenAI's form."""
    if request.schema is None:
        return {}
    described = {"name": str(request.schema.get("title") or "answer"), "schema": request.schema}
    strict = {} if request.strict is None else {"strict": request.strict}
    return {"response_format": {"type": "json_schema", "json_schema": described | strict}}


def bind_own_tools(model: Any, request: Request, *, is_foreign: bool = False) -> tuple[Any, dict[str, Any]]:
    """What a model's own `bind_tools` makes of the tools of a request: the model to ask, and the keywords for it.

    Args:
        model: The model.
        request: The request.
        is_foreign: Whether nobody wrote it with langplug in mind: it is told no more than it surely understands.
    """
    taken = read_signature(model.bind_tools).parameters.values()
    names = {one.name for one in taken}
    choice: Any = request.tool_choice
    if is_foreign and choice == "required" and len(request.tools) == 1:  # which more models can be told by its name
        choice = request.tools[0]
    if isinstance(choice, dict):
        choice = choice["function"]["name"]
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken)
    asked: dict[str, Any] = {}
    # LangChain's words for OpenAI's; "auto" is what each does by itself
    if choice not in (None, "auto") and (takes_all or "tool_choice" in names):
        asked["tool_choice"] = "any" if choice == "required" else choice
    # Among the `**kwargs` of others it would go to a client that may not know it.
    takes_parallel = "parallel_tool_calls" in names or (takes_all and not is_foreign)
    if request.parallel_tool_calls is not None and takes_parallel:
        asked["parallel_tool_calls"] = request.parallel_tool_calls
    if is_foreign and choice == "none" and not any(isinstance(one, ToolMessage) for one in request.messages):
        return model, {}  # some take "none" for a tool's name; a history of calls needs its tools
    try:
        bound = model.bind_tools([*request.tools], **asked)
    except (ValueError, TypeError, NotImplementedError):
        if not asked:
            raise
        bound = model.bind_tools([*request.tools])  # the choice is then langplug's to see to, by asking again
    keywords: dict[str, Any] = {}
    while isinstance(bound, RunnableBinding):
        keywords = {**bound.kwargs, **keywords}
        bound = bound.bound
    return bound, unconceal(keywords)  # else a copy that holds the tools


# --- the doors ---


def is_inside(model: object) -> bool:
    """Whether it is the stand-in of a model that the model's hooks see."""
    try:
        object.__getattribute__(model, INSIDE)
    except AttributeError:
        return False
    return True


def _inside(model: Any) -> Any:
    """The stand-in of a model that its hooks see: the very same state, in another object."""
    stand_in = object.__new__(type(model))
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
        object.__setattr__(stand_in, name, getattr(model, name))
    set_slots(stand_in, {**slots_of(model), INSIDE: True})
    return stand_in


def open_doors(cls: Any, public: Any) -> None:
    """Give a class that has hooks and no `respond` one that calls them, and put a door before each of the hooks.

    Args:
        cls: The class.
        public: `ChatModel`, whose methods the model itself has.

    Raises:
        TypeError: If it says that it does natively what a hook of its cannot be told of.
    """
    if not answers_by_hooks(cls, public):
        return
    if cls.respond is public.respond:
        cls.respond = respond
    cls.__langplug_source__ = "/".join(hooks_of(cls))
    for name in (*CORES, "bind_tools", "__del__"):
        holder = next((base for base in cls.__mro__ if name in vars(base)), public)
        # A base that is itself such a model has its doors already.
        has_door = holder is not cls and holder not in public.__mro__ and issubclass(holder, public)
        method = find_method(cls, name)
        theirs = None if holder in public.__mro__ else vars(holder)[name]
        # Also before what answers nothing but stands before ours: `SimpleChatModel._generate`, or one that only raises.
        if name in CORES and theirs is not None and (holder.__module__ in _MACHINERY or is_stub(theirs)):
            method = method or theirs
        if not has_door and method is not None:
            setattr(cls, name, _door(cls, name, method, getattr(public, name, None)))
    for capability, keyword in (("tool_calling", "tools"), ("structured_output", "response_format")):
        is_told = keyword == "tools" and has_own_tools(cls)
        deaf = [name for name, hook in hooks_of(cls).items() if not hook.takes(keyword)]
        if cls.model_fields[capability].default == "native" and deaf and not is_told:
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__} says {capability} = 'native', but its `{deaf[0]}` makes no use "
                f"of {keyword!r}. Let it take `**kwargs` and pass them on; or delete the line, and langplug does it."
            )


def answers_by_hooks(cls: type, public: Any) -> bool:
    """Whether a class has hooks that answer, and nobody has written a `respond`."""
    for base in cls.__mro__:
        if "respond" in vars(base) and base not in public.__mro__:
            return vars(base)["respond"] is respond
    return bool(hooks_of(cls)) and any(
        hooks_in(vars(base)) or not hooks_of(base).keys().isdisjoint({"_call", "_acall"})
        for base in cls.__mro__
        if not base.__module__.startswith("langplug.") and base.__module__ not in _MACHINERY
    )


def bind_natively(bases: tuple[type, ...], body: Mapping[str, Any]) -> bool:
    """Whether a class that is to be made has hooks and a `bind_tools` of its own for them: it calls tools natively."""
    bodies = [body, *(vars(base) for parent in bases for base in parent.__mro__ if base.__module__ not in _MACHINERY)]
    # A model of langplug's has said already how it calls tools; its own hooks are behind doors.
    authors = [one for one in bodies if not str(one.get("__module__")).startswith("langplug.")]
    own = [one for one in authors if "__langplug_source__" not in one]
    has_hooks = any(hooks_in(one) or not {"_call", "_acall"}.isdisjoint(one) for one in own)
    has_respond = any(one.get("respond", respond) is not respond for one in authors)
    return has_hooks and not has_respond and any(map(binds_tools, own))


def _door(cls: type, name: str, method: Any, public: Any) -> Callable[..., Any]:
    """A method that leads the hooks of a model to `method`, and all others to `public`."""

    def door(self: Any, *args: Any, **kwargs: Any) -> Any:
        inside = is_inside(self)
        if inside and name == "__del__":
            return None  # what goes is the stand-in, and the model may stay
        if not (inside or public is None):
            return public(self, *args, **kwargs)
        if not TRACING_ONLY.isdisjoint(kwargs):
            kwargs = {keyword: value for keyword, value in kwargs.items() if keyword not in TRACING_ONLY}
        return method.__get__(self)(*args, **kwargs)

    told = cast("Any", door)
    told.__name__, told.__qualname__, told.__doc__ = (
        name,
        f"{cls.__qualname__}.{name}",
        getattr(method, "__doc__", None),
    )
    told.__langplug_door__ = public
    told.__wrapped__ = method  # what the cache key follows
    if public is not None:
        told.__signature__ = inspect.signature(public)
    return door


def respond(self: Any, request: Request, /) -> Any:
    """Answer by the hooks."""
    return _ask(self, request, hook_for(type(self), request, on_loop=False))


def respond_on_loop(model: Any, request: Request) -> tuple[Callable[[Request], Any], Shape]:
    """What answers on an event loop, and where it is to be called."""
    hook = hook_for(type(model), request, on_loop=True)
    return lambda asked: _ask(model, asked, hook), Shape.COROUTINE if hook.is_async else Shape.FUNCTION


def _ask(model: Any, request: Request, hook: Hook) -> Any:
    cls, inside = type(model), _inside(model)
    given = parameters_in(request, hook, cls.model_fields) | openai_schema(request)
    if request.tools and has_own_tools(cls):
        target, bound = bind_own_tools(inside, request)
        inside, given = target if target is inside else _inside(target), given | bound
    else:
        given |= openai_tools(request, hook)
    if deaf := [name for name in given if not hook.takes(name)]:
        raise TypeError(
            f"{cls.__name__}.{hook.name} makes no use of {deaf[0]!r}, which it is to be given. Let it take `**kwargs`, "
            "and pass them on."
        )
    return hook.call(inside, request, given)


def shape_by_hooks(cls: type) -> Shape:
    """The shape of a class's `respond` that calls hooks."""
    hooks = hooks_of(cls)
    streams = not hooks.keys().isdisjoint(STREAMED)
    if all(hook.is_async for hook in hooks.values()):
        return Shape.ASYNC_GENERATOR if streams else Shape.COROUTINE
    return Shape.GENERATOR if streams else Shape.FUNCTION
