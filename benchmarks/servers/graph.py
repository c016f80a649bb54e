"""langgraph-openai-serve with a graph of one node, which asks the hand-written model: `… PORT`."""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph_openai_serve import GraphConfig, GraphRegistry, LanggraphOpenaiServe

from servers.handwritten import HandWritten

model = HandWritten()


async def ask(state: MessagesState) -> dict[str, Any]:
    """The only node."""
    return {"messages": [await model.ainvoke(state["messages"])]}


def application() -> FastAPI:
    """The graph behind the package's own routes."""
    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    registry = GraphRegistry(graphs={"m": GraphConfig(graph=builder.compile(), description="Says words.")})
    serving = FastAPI()
    LanggraphOpenaiServe(registry=registry, app=serving).bind_openai_api(prefix="/v1")
    return serving


if __name__ == "__main__":
    uvicorn.run(application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
