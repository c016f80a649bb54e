"""Group I: tools as applications have them, and the arguments of calls: from MCP servers, with state, by the dozen."""

from collections.abc import Mapping
from typing import Annotated, Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolArg, StructuredTool, tool

from langplug_backend import Call, ChatRequest, Reply
from langplug_check.groups._runs import FOUR
from langplug_check.groups._tools import (
    BIND_TOOLS,
    NO_CALL,
    call_if_forced,
    function_of,
    last_exchange,
    last_request,
    look,
    request_in,
    tool_names,
)
from langplug_check.paths import BUGS, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

_MARK = "LANGPLUG-RESULT"


def _offered(subject: Subject, offered: Any) -> Mapping[str, Any]:
    """How one tool is described to the backend.

    Raises:
        Failed: If it is not.
    """
    outcome = subject.ask(subject.says(NO_CALL).bind_tools([offered]))
    outcome.answer  # noqa: B018 - an error here is a failure
    tools = last_request(subject).tools
    if not tools:
        raise Failed("the request has no tools", "the tool that was bound")
    return function_of(tools[0])


def _parameters(function: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = function.get("parameters") or function.get("input_schema") or {}
    return found


@statement(
    "I17",
    "The result of a tool that is a list of blocks arrives with all of its texts.",
    why="Tools of MCP servers give their results so; a model that does not see them calls again and again.",
    hint="""
    # `message.text` is the text of either kind of content
    {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    """,
    link="https://docs.langchain.com/oss/python/langchain/mcp",
    needs=("tools", "requests", "replies"),
)
def results_in_blocks(subject: Subject) -> None:
    """Have it call a tool, give the result in two blocks, and look for both in the request."""
    call = Reply(calls=(Call(name=look.name, args={"what": "it"}, cut=0),))

    def reply(asked: ChatRequest) -> Reply:
        return Reply(text="Thanks.") if _MARK in str(asked.messages) else call

    model: Any = subject.says(reply)
    bound = model.bind_tools([look])
    question = HumanMessage("Look it up.")
    message = subject.ask(bound, [question]).answer
    if not message.tool_calls:
        raise Failed("the call is not in `tool_calls`", look.name)
    blocks: Any = [{"type": "text", "text": f"{_MARK}-1"}, {"type": "text", "text": f"{_MARK}-2"}]
    result = ToolMessage(blocks, tool_call_id=str(message.tool_calls[0]["id"]))
    outcome = subject.ask(bound, [question, message, result])
    outcome.answer  # noqa: B018 - an error here is a failure
    sent = str(last_exchange(subject).body)
    if lost := [block["text"] for block in blocks if block["text"] not in sent]:
        raise Failed(f"of a tool's result in blocks, {', '.join(lost)} is not in the request", "all texts")


@statement(
    "I18",
    "A tool whose arguments are described by a JSON schema, as those of MCP servers are, is offered with that schema.",
    why="Everything that langchain-mcp-adapters brings is described so.",
    hint="""
    # the description of any kind of tool
    langchain_core.utils.function_calling.convert_to_openai_tool(tool)
    """,
    link="https://docs.langchain.com/oss/python/langchain/mcp",
    needs=("tools", "requests", "replies"),
)
def schemas_of_mcp(subject: Subject) -> None:
    """Bind such a tool, and read its parameters in the request."""
    schema = {
        "type": "object",
        "properties": {"path": {"type": "string"}, "depth": {"type": "integer"}},
        "required": ["path"],
    }
    offered = StructuredTool(
        name="list_files", description="Lists files.", args_schema=schema, func=str, response_format="content"
    )
    parameters = _parameters(_offered(subject, offered))
    found = (sorted(parameters.get("properties", ())), list(parameters.get("required", ())))
    if found != (["depth", "path"], ["path"]):
        raise Failed(f"the tool is offered with the arguments {found[0]}, {found[1]} required", "depth, path; path")


@tool
def _save(text: str, user: Annotated[str, InjectedToolArg]) -> str:
    """Saves a text."""
    return f"{user}: {text}"


@statement(
    "I19",
    "What an application injects into a tool, such as the user, is not offered to the model as an argument.",
    rank="must",
    why="The model would choose in whose name the tool works.",
    hint="""
    # `tool_call_schema`, and not `args_schema`, is for models; this reads it
    langchain_core.utils.function_calling.convert_to_openai_tool(tool)
    """,
    link="https://docs.langchain.com/oss/python/langchain/tools#accessing-context",
    needs=("tools", "requests", "replies"),
)
def injected_stays_hidden(subject: Subject) -> None:
    """Bind a tool with an injected argument, and read the arguments in the request."""
    names = sorted(_parameters(_offered(subject, _save)).get("properties", ()))
    if names != ["text"]:
        raise Failed(f"the tool is offered with the arguments {names}", "['text']")


@statement(
    "I20",
    "A tool that another provider would run itself is refused, left out or passed on, and not offered as a function.",
    rank="could",
    why="The model calls it, nobody can run it, and the agent goes round in circles.",
    hint="""
    # a dict with a type of its own and without parameters is no function
    if isinstance(tool, dict) and tool.get("type") not in (None, "function"):
        raise ValueError(f"{tool['type']} would run at another provider")
    """,
    link="https://github.com/langchain-ai/langchain/issues/39788",
    needs=("tools", "requests", "replies"),
)
def foreign_built_ins(subject: Subject) -> str:
    """Bind a web search of Anthropic's; read in the request what became of it."""
    built_in = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    try:
        outcome = subject.ask(subject.says(call_if_forced).bind_tools([built_in]))
    except Exception as error:
        if isinstance(error, BUGS):
            raise Failed(f"bind_tools raised {error_text(error)}", "an error that says why") from error
        return f"refused: {error_text(error)}"
    if outcome.error is not None:
        return f"refused: {error_text(outcome.error)}"
    body: Any = last_exchange(subject).body
    offered = [one for one in body.get("tools", ()) if isinstance(one, Mapping)] if isinstance(body, Mapping) else []
    if any("function" in one or one.get("type") == "function" for one in offered):
        raise Failed(f"a built-in tool of Anthropic's is offered as {offered}", "an error, or the dict as it was")
    return "passed on" if offered else "left out"


def _read(path: str) -> str:
    return path


@statement(
    "I21",
    "A tool's name may have dashes, digits and capitals, as in `read-File_2`, on its way there and back.",
    why="MCP servers name their tools so; under another name, nobody finds the tool.",
    hint="""
    # the rule of OpenAI's and Anthropic's APIs: ^[a-zA-Z0-9_-]{1,64}$
    """,
    link=BIND_TOOLS,
    needs=("tools", "requests", "replies"),
)
def names_survive(subject: Subject) -> None:
    """Offer a tool of such a name, have it called, by each path, and read both names."""
    name = "read-File_2"
    offered = StructuredTool.from_function(_read, name=name, description="Reads a file.")
    reply = Reply(calls=(Call(name=name, args={"path": "a"}, cut=0),))
    for outcome in subject.each_path(lambda: subject.says(reply).bind_tools([offered]), paths=FOUR):
        message = outcome.answer
        sent = tool_names(request_in(last_exchange(subject)))
        if sent != [name]:
            raise Failed(f"{outcome.path} offered the tools {sent}", f"[{name!r}]")
        if [call["name"] for call in message.tool_calls] != [name]:
            raise Failed(f"{outcome.path} gave the calls {message.tool_calls}", f"a call of {name!r}")


_ARGS: Mapping[str, Any] = {
    "nothing": None,
    "yes": True,
    "zero": 0,
    "half": 0.5,
    "large": 9007199254740993,
    "text": 'a "quoted" \\ path\nand </tool_call> a line',
    "numbers": [1, [2, []]],
    "inner": {"deep": {"deeper": {}}},
}
"""One of each kind of JSON value. The large number is the first that a float cannot hold."""


@statement(
    "I22",
    "Arguments keep their values and types: null, booleans, large numbers, quotes and tags in texts, nested objects.",
    rank="must",
    why="A tool runs with an argument that nobody gave: another id, another path.",
    hint="""
    json.loads(arguments)      # and nothing else: no eval, no regex, no float() for numbers
    """,
    link=BIND_TOOLS,
    needs=("tools", "replies"),
)
def arguments_keep_types(subject: Subject) -> None:
    """Have a tool called with one of each, by each path, in pieces, and compare."""
    schema = {
        "title": "store",
        "description": "Stores it.",
        "type": "object",
        "properties": {name: {} for name in _ARGS},
    }
    reply = Reply(calls=(Call(name="store", args=_ARGS, cut=7),))
    for outcome in subject.each_path(lambda: subject.says(reply).bind_tools([schema]), paths=FOUR):
        calls = outcome.answer.tool_calls
        if len(calls) != 1:
            raise Failed(f"{outcome.path} gave {len(calls)} calls, {outcome.answer.invalid_tool_calls} invalid", "one")
        args = calls[0]["args"]
        # By their texts: True equals 1, and 0 equals False.
        if wrong := [name for name, value in _ARGS.items() if repr(args.get(name)) != repr(value)]:
            raise Failed(f"{outcome.path}: {wrong[0]} arrived as {args.get(wrong[0])!r}", repr(_ARGS[wrong[0]]))


@statement(
    "I23",
    "Twelve calls in one answer are twelve, in their order.",
    why="Agents fan out; an order by text puts the call of number 10 before that of number 2.",
    hint="""
    # by number, and not by its text
    [call for _, call in sorted(calls.items(), key=lambda item: int(item[0]))]
    """,
    link=BIND_TOOLS,
    needs=("tools", "replies"),
)
def a_dozen_calls(subject: Subject) -> None:
    """Have a tool called twelve times in one answer, by each path, and compare the arguments."""
    things = [f"thing {number}" for number in range(12)]
    reply = Reply(calls=tuple(Call(name=look.name, args={"what": thing}, cut=0) for thing in things))
    for outcome in subject.each_path(lambda: subject.says(reply).bind_tools([look]), paths=FOUR):
        found = [call["args"].get("what") for call in outcome.answer.tool_calls]
        if found != things:
            raise Failed(f"{outcome.path} of twelve calls gave {len(found)}: {found}", f"{things}")
        if len({call["id"] for call in outcome.answer.tool_calls}) != len(things):
            raise Failed(f"{outcome.path} of twelve calls: some share an id", "an id for each")
