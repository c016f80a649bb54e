"""Who serves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Somebody who is asked.

    Attributes:
        title: As in the tables.
        command: What this Python is given to start it; `{port}` stands for the port.
        most_streams: How many streams at once it is asked for at most: minutes tell no more than seconds.
        source: A directory with another version of langplug, which it runs instead of the installed one.
    """

    title: str
    command: tuple[str, ...]
    most_streams: int = 1000
    source: str = ""


_OURS = ("-m", "langplug", "serve", "--alias", "m=servers.ours:ticking", "--port", "{port}")
_LITELLM = (
    "import sys; from litellm import run_server; run_server(standalone_mode=False)",
    *("--config", "servers/litellm.yaml", "--host", "127.0.0.1", "--port", "{port}"),
)

OURS, LITELLM = "langplug serve", "LiteLLM's proxy"
FLOOR, READY, USUAL = "floor", "aiohttp, ready bytes", "FastAPI, the usual way"

SERVERS = {
    server.title: server
    for server in (
        Server(title=FLOOR, command=("-m", "servers.floor", "{port}")),
        Server(title=READY, command=("-m", "servers.ready", "{port}")),
        Server(title=OURS, command=_OURS),
        Server(title=USUAL, command=("-m", "servers.usual", "{port}")),
        Server(title="langgraph-openai-serve", command=("-m", "servers.graph", "{port}"), most_streams=200),
        Server(title=LITELLM, command=("-c", *_LITELLM), most_streams=200),
    )
}
"""All of them, in the order in which they take their turns."""
