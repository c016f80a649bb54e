"""The page on ChatEndpoint, beside the code that it is about."""

from pathlib import Path

from langplug import ChatModel
from langplug.models import ChatEndpoint
from langplug.models.servers import SERVERS, Server

PAGE = (Path(__file__).parents[3] / "docs" / "endpoint.md").read_text(encoding="utf-8")


def row(name: str, server: Server) -> str:
    """The kind of server as the page has it."""
    known = [*(f"`{host}`" for host in server.hosts), *([f"`owned_by: {server.owner}`"] if server.owner else [])]
    cells = (
        f'`"{name}"`',
        ", ".join(known),
        ", ".join(f"`{field}`" for field in server.includes_stop) or "cut here",
        "known" if server.running_usage else "",
        "; ".join(peculiar(server)),
    )
    return "| " + " | ".join(cell or "–" for cell in cells) + " |"


def peculiar(server: Server) -> list[str]:
    named = [f"`{ours}` is sent as `{its}`" for ours, its in server.names.items()]
    dropped = [f"not sent: {', '.join(f'`{name}`' for name in sorted(server.drops))}"] if server.drops else []
    schema = ["the schema goes into the prompt, with JSON mode"] if server.schema == "json_object" else []
    streamed = ["always streams, or it would finish answers that nobody waits for"] if server.streams_always else []
    return [*named, *dropped, *schema, *streamed]


def test_the_table_of_servers() -> None:
    """The page's table of servers says what the code does."""
    table = [row(name, server) for name, server in SERVERS.items()]
    assert table == [line for line in PAGE.splitlines() if line.startswith('| `"')], "\n".join(table)


def test_every_field_is_on_the_page() -> None:
    """Each field that ChatEndpoint has for itself is explained."""
    own = ChatEndpoint.model_fields.keys() - ChatModel.model_fields.keys()
    assert [] == [name for name in own if f"`{name}`" not in PAGE]
