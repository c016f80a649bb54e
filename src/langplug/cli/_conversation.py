"""A conversation: what has been said, saved and loaded again."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    messages_from_dict,
    messages_to_dict,
)

from langplug.cli._exit import UsageError

JSON_SCHEMA: Final = "langplug.conversation/1"
"""Names the shape of a saved conversation. The number grows when a field goes or changes its meaning."""

_HEADINGS: Final = {"system": "System", "human": "User", "ai": "Assistant", "tool": "Tool"}


class Conversation:
    """The system prompt and the turns so far.

    Attributes:
        system: The system prompt, or None.
        turns: The messages after it, oldest first; a turn begins with a `HumanMessage`.
    """

    def __init__(self, system: str | None = None, turns: Iterable[BaseMessage] = ()) -> None:
        self.system = system
        self.turns = list(turns)

    @property
    def messages(self) -> list[BaseMessage]:
        """All of it, the system prompt first."""
        return [*([SystemMessage(self.system)] if self.system else []), *self.turns]

    def asking(self, prompt: str) -> list[BaseMessage]:
        """The messages that ask for an answer to `prompt`; the conversation stays as it is."""
        return [*self.messages, HumanMessage(prompt)]

    def add_turn(self, prompt: str, answer: AIMessage) -> None:
        """Remember a prompt and its answer."""
        self.turns += [HumanMessage(prompt), answer]

    def undo(self) -> str | None:
        """Forget the last turn and give back its prompt; None if there is none."""
        for at in range(len(self.turns) - 1, -1, -1):
            if isinstance(self.turns[at], HumanMessage):
                prompt = str(self.turns[at].text)
                del self.turns[at:]
                return prompt
        return None

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write it to `path`: everything as JSON where that ends in `.json`, the text as Markdown where in `.md`.

        Raises:
            UsageError: If it ends in neither, or is there already and `overwrite` is False.
            OSError: If it cannot be written; a file that was there is as it was.
        """
        writers = {".json": self._as_json, ".md": self._as_markdown}
        writer = writers.get(path.suffix.lower())
        if writer is None:
            raise UsageError(f"cannot tell the format of {str(path)!r}: end it in .json (can be continued) or .md")
        _write(path, writer(), overwrite=overwrite)

    def _as_json(self) -> str:
        saved = {"schema": JSON_SCHEMA, "messages": messages_to_dict(self.messages)}
        return json.dumps(saved, ensure_ascii=False, indent=2, default=str) + "\n"

    def _as_markdown(self) -> str:
        return "\n".join(f"## {_heading(message)}\n\n{message.text}\n" for message in self.messages)

    @classmethod
    def load(cls, path: Path) -> "Conversation":
        """Read what `save` wrote as JSON.

        Raises:
            UsageError: If it is not there, or is something else.
        """
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{str(path)!r} is not JSON: give a conversation that /save wrote as .json") from error
        return cls._from_saved(saved, path)

    @classmethod
    def _from_saved(cls, saved: Any, path: Path) -> "Conversation":
        known = cast("dict[str, Any]", saved) if isinstance(saved, dict) else {}
        schema = known.get("schema")
        if schema != JSON_SCHEMA:
            raise UsageError(
                f"{str(path)!r} is not a saved conversation: its schema is {schema!r}, expected {JSON_SCHEMA!r}"
            )
        try:
            messages = messages_from_dict(known["messages"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{str(path)!r} holds messages that LangChain cannot read: {error!r}") from error
        if messages and isinstance(messages[0], SystemMessage):
            return cls(str(messages[0].text), messages[1:])
        return cls(None, messages)


def _heading(message: BaseMessage) -> str:
    return _HEADINGS.get(message.type, message.type.capitalize())


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UsageError(f"{str(path)!r} is there already: '/save! {path}' writes over it")
    beside = path.with_name(f".{path.name}.{os.getpid()}")  # whole or not at all, whatever happens while writing
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
