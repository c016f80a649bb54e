"""What is asked: a row of the input as a question, with a key by which its answer is found again."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from string import Formatter
from typing import Any, Final, Self, TypeAlias

from langchain_core.messages import BaseMessage, convert_to_openai_messages

ENVELOPE: Final = ("custom_id", "url", "body")
"""What a row of OpenAI's batch format has. Source: https://platform.openai.com/docs/guides/batch."""

_encode = json.JSONEncoder(sort_keys=True, default=str).encode

RawRow: TypeAlias = "Mapping[str, Any] | str | Exception"
"""A row as it is read: its columns, a prompt alone, or why it cannot be read."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input.

    Attributes:
        index: Its place among the rows, from 0.
        id: What it is called: its column `id` or `custom_id`, else its place.
        key: Equal for equal rows of equal jobs, in every process; it follows the id, what is asked, and whom.
        question: What is asked: messages as OpenAI writes them, or the whole row in OpenAI's batch format; None if it
            cannot be asked.
        problem: Why it cannot be asked.
        kept: The columns that go into the output as they are.
    """

    index: int
    id: str
    key: bytes
    question: Any
    problem: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a row becomes a question.

    Attributes:
        identity: Whom it is asked, and how: bytes that are equal for equal jobs.
        prompt: A template, whose `{column}` are filled in; None if rows have a `prompt` or `messages`.
        system: A system prompt, which may be a template, too.
        keep: The columns that go into the output as they are.
        is_envelope: Whether rows are in OpenAI's batch format.
    """

    identity: bytes
    prompt: "Template | None" = None
    system: "Template | None" = None
    keep: Collection[str] = ()
    is_envelope: bool = False

    @classmethod
    def of(cls, prompt: str | None, system: str | None, keep: Collection[str] = (), *, identity: bytes = b"") -> Self:
        """The form with these templates.

        Raises:
            ValueError: If one is none.
        """
        templates = [Template(text) if text is not None else None for text in (prompt, system)]
        return cls(identity=identity, prompt=templates[0], system=templates[1], keep=keep)

    @property
    def columns(self) -> list[str]:
        """The columns that each row needs."""
        templates = [template for template in (self.prompt, self.system) if template is not None]
        return [*(name for template in templates for name in template.columns), *self.keep]

    def rows(self, raw: Iterable[RawRow]) -> Iterator[Row]:
        """The rows, in order. One that cannot be asked says why."""
        for index, columns in enumerate(raw):
            yield self._row(index, columns)

    def _row(self, index: int, raw: RawRow) -> Row:
        columns = {"prompt": raw} if isinstance(raw, str) else raw
        if isinstance(columns, Exception):
            return Row(index, str(index), b"", None, str(columns))
        own = columns.get("custom_id" if self.is_envelope else "id")
        called = str(index) if own is None or own == "" else str(own)
        kept = {name: columns.get(name) for name in self.keep}
        try:
            question = as_request(columns) if self.is_envelope else self._messages(columns)
            text = _encode([called, question])
        except (TypeError, ValueError) as error:
            return Row(index, called, b"", None, str(error), kept)
        key = blake2b(text.encode(), key=self.identity, digest_size=16).digest()
        return Row(index, called, key, question, None, kept)

    def _messages(self, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self.prompt is not None:
            asked: list[dict[str, Any]] = [{"role": "user", "content": self.prompt.fill(columns)}]
        elif not _is_blank(columns.get("messages")):
            asked = as_dicts(columns["messages"])
        elif not _is_blank(columns.get("prompt")):
            asked = [{"role": "user", "content": str(columns["prompt"])}]
        elif {"prompt", "messages"} & {*columns}:
            raise ValueError("Its `prompt` is empty, and it has no `messages`: there is nothing to ask.")
        else:
            named = ", ".join(map(str, columns)) or "none"
            raise ValueError(
                f"It has neither `prompt` nor `messages`, but {named}: name a template such as '{{text}}'."
            )
        if self.system is None:
            return asked
        return [{"role": "system", "content": self.system.fill(columns)}, *asked]


def _is_blank(cell: Any) -> bool:
    """Whether a row has nothing there: tables have a cell in each column."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def as_request(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What a row in OpenAI's batch format asks.

    Raises:
        ValueError: If it lacks what a request has.
    """
    url, body, method = columns.get("url"), columns.get("body"), columns.get("method", "POST")
    if not isinstance(url, str) or not isinstance(body, Mapping) or method != "POST":
        raise ValueError(
            "A row in OpenAI's batch format has a `url` that is text and a `body` that is an object (POST)."
        )
    return {"url": url, "body": dict(body)}


def as_dicts(messages: Any) -> list[dict[str, Any]]:
    """Messages as OpenAI writes them: what a row of a file has already, and what one of LangChain's becomes.

    Raises:
        ValueError: If they are not a list of messages.
    """
    if isinstance(messages, str):  # a cell of a table holds them as JSON
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"`messages` is not JSON: {error}.") from error
    if not isinstance(messages, Sequence) or not messages:
        raise ValueError("`messages` must be a list of at least one message.")
    for message in messages:
        if not isinstance(message, BaseMessage) and not (isinstance(message, Mapping) and "role" in message):
            raise ValueError(f"`messages` must be messages such as {{'role': 'user', ...}}, not {message!r:.100}.")
    if all(isinstance(message, Mapping) for message in messages):
        return [dict(message) for message in messages]
    converted = convert_to_openai_messages(messages)
    return converted if isinstance(converted, list) else [converted]


class Template:
    """A text in which `{column}` stands for what a row has in that column; `{{` and `}}` are braces.

    Nothing but names of columns can be filled in: no attributes, no items, no formats.

    Raises:
        ValueError: If it is no such text, and the message says where.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._pieces = [(literal, name, spec, how) for literal, name, spec, how in Formatter().parse(text)]
        except ValueError as error:
            raise ValueError(f"{text!r:.200} is no template: {error}. Write {{{{ for a brace.") from error
        for _, name, spec, how in self._pieces:
            if name is not None and (not name or spec or how or "." in name or "[" in name):
                raise ValueError(
                    f"{text!r:.200} may only have names of columns in braces, as {{text}}, not {{{name}}}."
                )

    @property
    def columns(self) -> list[str]:
        """The columns that it needs."""
        return [name for _, name, _, _ in self._pieces if name is not None]

    def fill(self, columns: Mapping[str, Any]) -> str:
        """The text for a row.

        Raises:
            ValueError: If the row lacks a column.
        """
        filled: list[str] = []
        for literal, name, _, _ in self._pieces:
            filled.append(literal)
            if name is not None:
                value = columns.get(name)
                if value is None:
                    named = ", ".join(map(str, columns)) or "none"
                    raise ValueError(f"It has no column {name!r}, which the template needs, but {named}.")
                filled.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        return "".join(filled)
