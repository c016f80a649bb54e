"""An agent on the embedded model, with a calculator; recorded and played, if you like.

    pip install 'langplug[gguf]' langchain && langplug pull smollm2 && python examples/agent.py
    python examples/agent.py --record agent.yaml  # the same, and what the model says is written down
    python examples/agent.py --play agent.yaml    # the same once more, without the model and without waiting

With 135 million parameters the model would rather talk than call a tool, so its first step is told to call one: then
llama.cpp keeps it to the tool's schema, and the call is valid whatever the model thinks.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from langplug import TOOL_FORMATS
from langplug.models import ChatGGUF, ChatReplay


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@wrap_model_call
def calculate_first(request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
    """Force a call as long as the user's question is the last word."""
    asked = isinstance(request.messages[-1], HumanMessage)
    return handler(request.override(tool_choice="any") if asked else request)


def in_words(name: str, content: str, call_id: str, is_error: bool) -> str:
    """Show the model a tool's result as a sentence: it would only repeat the JSON in which larger models expect it."""
    return f"The tool {name} {'failed' if is_error else 'gave'}: {content}"


def make_model(*options: str) -> BaseChatModel:
    """The embedded model, recorded or not; or what was recorded of it."""
    match options:
        case ("--play", file):
            return ChatReplay(cassette=file)
        case ("--record", file):
            return ChatReplay(cassette=file, model=make_model(), mode="rewrite")
        case _:
            tool_format = replace(TOOL_FORMATS["hermes"], result=in_words)
            return ChatGGUF(engine="llama.cpp", temperature=0, max_tokens=100, tool_format=tool_format)


def main(*options: str) -> None:
    """Ask, and print all that was said on the way to the answer."""
    agent = create_agent(make_model(*options), [multiply], middleware=[calculate_first])
    result = agent.invoke({"messages": [HumanMessage("Multiply 12 by 5")]}, {"recursion_limit": 10})
    for message in result["messages"]:
        message.pretty_print()


if __name__ == "__main__":
    main(*sys.argv[1:])
