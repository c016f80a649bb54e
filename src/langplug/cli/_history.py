"""What has been said in a conversation: remembered, saved to a file and loaded again."""

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


class ChatHistory:
    """The system prompt, and what was said after it.

    Attributes:
        system: The system prompt, or None.
        messages: The messages after it, oldest first. Each prompt is a `HumanMessage`.
    """

    def __init__(self, system: str | None = None, messages: Iterable[BaseMessage] = ()) -> None:
        self.system = system
        self.messages = list(messages)

    def with_system(self) -> list[BaseMessage]:
        """All messages, the system prompt first."""
        return [*([SystemMessage(self.system)] if self.system else []), *self.messages]

    def add(self, prompt: str, answer: AIMessage) -> None:
        """Remember a prompt and its answer."""
        self.messages += [HumanMessage(prompt), answer]

    def undo(self) -> str | None:
        """Forget the last prompt and all that came after it, and return the prompt; None if there is none."""
        for at in range(len(self.messages) - 1, -1, -1):
            if isinstance(self.messages[at], HumanMessage):
                prompt = str(self.messages[at].text)
                del self.messages[at:]
                return prompt
        return None

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the conversation to `path`: all of it as JSON (`.json`), or its text as Markdown (`.md`).

        Raises:
            UsageError: If `path` has another suffix, or if it exists and `overwrite` is False.
            OSError: If it cannot be written. A file that was there before is left as it was.
        """
        messages = self.with_system()
        match path.suffix.lower():
            case ".json":
                saved = {"schema": JSON_SCHEMA, "messages": messages_to_dict(messages)}
                text = json.dumps(saved, ensure_ascii=False, indent=2, default=str) + "\n"
            case ".md":
                text = "\n".join(f"## {_HEADINGS.get(m.type, m.type.capitalize())}\n\n{m.text}\n" for m in messages)
            case _:
                raise UsageError(f"cannot tell the format of {str(path)!r}: end it in .json (can be continued) or .md")
        if not path.absolute().parent.is_dir():
            raise UsageError(f"there is no folder {str(path.parent)!r} to save in: No such file or directory")
        if path.is_dir():
            raise UsageError(f"{str(path)!r} is a folder: name a file in it")
        if path.exists() and not overwrite:
            raise UsageError(f"{str(path)!r} is there already: '/save! {path}' writes over it")
        # Beside its place and then moved there: whatever happens while writing, the file is whole or not touched.
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "ChatHistory":
        """Read what `save` wrote as JSON.

        Raises:
            UsageError: If there is no such file, or if it holds something else.
        """
        try:
            saved: object = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{str(path)!r} is not JSON: give a conversation that /save wrote as .json") from error
        fields = cast("dict[str, Any]", saved) if isinstance(saved, dict) else {}
        if (schema := fields.get("schema")) != JSON_SCHEMA:
            raise UsageError(
                f"{str(path)!r} is not a saved conversation: its schema is {schema!r}, expected {JSON_SCHEMA!r}"
            )
        try:
            messages = messages_from_dict(fields["messages"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{str(path)!r} holds messages that LangChain cannot read: {error!r}") from error
        if messages and isinstance(messages[0], SystemMessage):
            return cls(str(messages[0].text), messages[1:])
        return cls(None, messages)
