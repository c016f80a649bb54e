"""The page on ChatEndpoint, beside the code that it is about."""

from pathlib import Path

from langplug import ChatModel
from langplug.models import ChatEndpoint
from langplug.models.concessions import CONCESSIONS
from langplug.models.servers import ALL_CHOICES, SERVERS, Server

PAGE = (Path(__file__).parents[3] / "docs" / "en" / "guides" / "endpoint.md").read_text(encoding="utf-8")


def row(name: str, server: Server) -> str:
    """The kind of server as the page has it."""
    known = [*(f"`{host}`" for host in server.hosts), *([f"`owned_by: {server.owner}`"] if server.owner else [])]
    cells = (
        f'[`"{name}"`]({server.source})' if server.source else f'`"{name}"`',
        ", ".join(known),
        ", ".join(f"`{field}`" for field in server.includes_stop) or "cut here",
        "known" if server.running_usage else "",
        "; ".join([*fields(server), *messages(server)]),
    )
    return "| " + " | ".join(cell or "–" for cell in cells) + " |"


def fields(server: Server) -> list[str]:
    """What is done to the fields of the body."""
    named = [f"`{ours}` is sent as `{its}`" for ours, its in server.names.items()]
    dropped = [f"not sent: {', '.join(f'`{name}`' for name in sorted(server.drops))}"] if server.drops else []
    stops = [f"with more than {server.most_stops} stop strings, cut here"] if server.most_stops else []
    schema = {"json_object": ["the schema goes into the prompt, with JSON mode"], "words": ["… into the prompt"]}
    json_mode = [] if server.json_mode else ["JSON mode is sent as a schema"]
    strict = [] if server.strict else ["no `strict`"]
    streamed = ["always streams, or it would finish answers that nobody waits for"] if server.streams_always else []
    refused = ", ".join(f"`{choice}`" for choice in sorted(ALL_CHOICES - server.choices))
    choices = [f"`tool_choice` in another form for {refused}"] if refused else []
    word = [f'"required" is sent as `{server.required}`'] if server.required != "required" else []
    off = [f'`reasoning_effort="none"` is sent as `{name}`' for name in server.no_thinking]
    key = [f"the `api_key` goes into the header `{server.key_header}`"] if server.key_header else []
    return [
        *key, *named, *dropped, *stops, *schema.get(server.schema, []), *json_mode, *strict, *choices, *word, *off,
        *streamed,
    ]  # fmt: skip


def messages(server: Server) -> list[str]:
    """What is done to the messages."""
    ids = [f"ids of calls made to match `{server.call_ids}`"] if server.call_ids else []
    roles = [f"roles: {server.roles}"] if server.roles != "as given" else []
    developer = [] if server.developer_role else ["`developer` is sent as `system`"]
    names = [] if server.names_messages else ["no names of messages"]
    calls = ["earlier calls one a turn"] if server.one_call_a_turn else []
    places = {"both": "`reasoning` and `reasoning_content`", "think_tags": "`<think>` in the text"}
    place = places.get(server.reasoning_as, f"`{server.reasoning_as}`")
    kept = [f'earlier reasoning is sent back (`keep_reasoning="{server.keep_reasoning}"`)']
    reasoning = [f"reasoning goes into {place}"] if server.reasoning_as != "reasoning_content" else []
    return [*ids, *roles, *developer, *names, *calls, *reasoning, *(kept if server.keep_reasoning != "never" else [])]


def table_below(head: str) -> list[str]:
    """The rows of the page's table that has this head."""
    _, _, rest = PAGE.partition(f"{head}\n")
    return rest.split("\n\n")[0].splitlines()[1:]


def test_the_table_of_servers() -> None:
    """The page's table of servers says what the code does."""
    table = [row(name, server) for name, server in SERVERS.items()]
    head = "| `server` | recognised by | stop string | usage of an answer cut at a stop string | also |"
    assert table == table_below(head), "\n".join(table)


def test_the_table_of_what_is_learnt() -> None:
    """The page lists whatever a server may refuse without ending the call, and what is sent then."""
    table = [f"| {one.refused} | {one.instead} |" for one in CONCESSIONS]
    assert table == table_below("| it refuses | from then on |"), "\n".join(table)


def test_every_field_is_on_the_page() -> None:
    """Each field that ChatEndpoint has for itself is explained."""
    own = ChatEndpoint.model_fields.keys() - ChatModel.model_fields.keys()
    assert [] == [name for name in own if f"`{name}`" not in PAGE]
