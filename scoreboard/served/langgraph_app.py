"""langgraph-openai-serve before a graph of one node, the scripted model: `python langgraph_app.py PORT`.

All that it passes to a graph is used: the messages, the tools and the choice among them.
"""

import sys
from dataclasses import dataclass
from typing import Any

import uvicorn
from langchain_core.exceptions import ModelInvalidRequestError
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph_openai_serve import GraphConfig, GraphRegistry, InvalidRequestError, LanggraphOpenaiServe
from served.scripted import NAME, scripted


@dataclass
class Asked:
    """What a request says besides its messages."""

    request: Any


async def answer(state: MessagesState, runtime: Runtime[Asked]) -> dict[str, Any]:
    """Ask the model, with the tools of the request."""
    request = runtime.context.request
    model: Any = scripted
    tools = [
        {"type": "function", "function": {"name": one.name, "parameters": dict(one.parameters or {})}}
        for one in request.tools
    ]
    try:
        if tools:
            choice = request.tool_choice
            model = scripted.bind_tools(tools, tool_choice=getattr(choice, "name", choice))
        return {"messages": [await model.ainvoke(state["messages"])]}
    except (TypeError, ValueError, ModelInvalidRequestError) as error:
        raise InvalidRequestError(str(error)) from error


def registry() -> GraphRegistry:
    """The graph under its name."""
    graph = StateGraph(MessagesState, context_schema=Asked).add_node("answer", answer)
    compiled = graph.add_edge(START, "answer").add_edge("answer", END).compile()
    config = GraphConfig(
        graph=compiled,
        description="The scripted model.",
        context_factory=lambda request, _: Asked(request),
    )
    return GraphRegistry(graphs={NAME: config})


if __name__ == "__main__":
    server = LanggraphOpenaiServe(registry=registry()).bind_openai_api("/v1")
    uvicorn.run(server.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
