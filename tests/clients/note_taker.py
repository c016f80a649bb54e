"""A model of five lines that has a coding agent do some work."""

from langplug import Reasoning, Request, ToolCall, chat_model

COMMAND = "echo 'Written by langplug' > note.txt && wc -c note.txt"


@chat_model(tool_calling="native")
def note_taker(request: Request, *, shell: str, argument: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 - as users write it
    """Writes a note by the agent's tool `shell`, and says what came of it."""
    yield Reasoning("A note it is.")
    if request.messages[-1].type != "tool" and any(tool["function"]["name"] == shell for tool in request.tools):
        yield ToolCall(name=shell, args={argument: COMMAND, "description": "Writes a note"})
    yield "The note is written." if "note.txt" in request.text else "I write the note."
