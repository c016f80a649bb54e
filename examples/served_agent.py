"""An agent behind OpenAI's API: any client asks it as it would ask a model, and is shown what happens on the way.

    pip install 'langplug[http]' langchain && python examples/served_agent.py

This starts `langplug serve` as you would in a terminal, asks it once by httpx, and stops it:

    langplug serve --alias weather=examples/served_agent.py:agent --show-steps
"""

import re
import subprocess
import sys
from typing import Any

import httpx
from langchain.agents import create_agent

from langplug import Request, chat_model
from langplug.http import sse


@chat_model
def forecaster(request: Request) -> str:
    """Stands for your model: it asks the tool, and says what that said."""
    if found := re.search(r'"content": "(.*)"', request.text):
        return f"In Oslo it is {found[1]}."
    return 'Let me look. <tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>'


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return "4 °C and clear"


def agent() -> Any:
    """What is served; it is made in the server."""
    return create_agent(forecaster(), [weather])


def main() -> None:
    """Serve the agent at a free port, and read its answer as it comes."""
    command = [sys.executable, "-m", "langplug", "serve", "--alias", f"weather={__file__}:agent", "--show-steps"]
    server = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own
    try:
        assert server.stderr is not None
        ready = next(line for line in server.stderr if line.startswith("weather at "))
        ask(url=ready.split()[-1])
    finally:
        server.terminate()
        server.communicate()


def ask(url: str) -> None:
    """Ask as OpenAI's SDK does, and show each piece of the answer as it comes."""
    asked = {"model": "weather", "messages": [{"role": "user", "content": "How is it in Oslo?"}], "stream": True}
    with httpx.stream("POST", f"{url}/chat/completions", json=asked, timeout=60) as response:
        for event in sse(response.iter_bytes()):
            if event.data == "[DONE]":
                break
            for choice in event.json()["choices"]:
                for kind in ("reasoning_content", "content"):
                    if said := choice["delta"].get(kind):
                        print(f"{kind}: {' '.join(said.split())}")


if __name__ == "__main__":
    main()
