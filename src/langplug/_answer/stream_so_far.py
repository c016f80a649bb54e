"""What the chunks of an OpenAI-shaped answer have brought, and what is known only once all of them have come."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from langplug._answer.carried import Carried, add_fields, is_carried_field
from langplug._answer.json_data import to_json_data
from langplug._answer.openai_blocks import block_of_audio, blocks_of_images, cited_text_block, is_signed, join_base64
from langplug._log import log
from langplug._parts import Finish, Part

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Where servers put the reasoning text: DeepSeek and older vLLM; newer vLLM, Ollama and OpenRouter."""

_MESSAGE = frozenset(
    "role content tool_calls tool_call function_call refusal images audio annotations citations name type "  # noqa: SIM905 - shorter than a list
    "finish_reason logprobs index prefix padding parsed stop_reason obfuscation usage".split()
).union(REASONING_FIELDS)
"""What of a message is read, or says nothing about the answer. What else it holds goes back to the server, or is kept
in `response_metadata`."""

HEAD = 1000
"""Characters of an answer's beginning that are kept, to be compared with a whole message at the end; as all of a long
text is not, only their number is known of the rest."""

EMPTY: tuple[Any, ...] = (None, "", [], {})
"""What a field holds that says nothing."""

_noted: set[str] = set()
"""The unknown fields that the log has named: once in a process is enough."""


@dataclass(slots=True)
class StreamSoFar:
    """How much of an answer its chunks have brought: some servers end a stream with the whole message once more.

    Attributes:
        text: Characters of text.
        head: The first `HEAD` characters of it.
        reasoning: Characters of reasoning.
        thoughts: The first `HEAD` characters of it.
        has_refusal: Whether a refusal came.
        has_begun: Whether any delta came.
        start: The first piece of text.
        has_images: Whether an image came.
        image_marks: Of each numbered image, what tells it from others.
        audio: What came of the audio, its pieces of data apart.
        citations: Sources that stand beside the message, as long as they are not given on.
        cited: The addresses that were given on as sources.
        carried: What has to go back to the server.
        unread: Fields of the message that are not known.
    """

    text: int = 0
    head: StringIO = field(default_factory=StringIO)
    reasoning: int = 0
    thoughts: StringIO = field(default_factory=StringIO)
    has_refusal: bool = False
    has_begun: bool = False
    start: str = ""
    has_images: bool = False
    image_marks: set[int | None] = field(default_factory=set)
    audio: dict[str, Any] = field(default_factory=dict)
    citations: Sequence[Any] = ()
    cited: set[str] = field(default_factory=set)
    carried: dict[str, Any] = field(default_factory=dict)
    unread: dict[str, Any] = field(default_factory=dict)

    def add_text(self, text: str) -> None:
        """Note a piece of text."""
        self.start = self.start or text
        if self.text < HEAD:
            self.head.write(text[: HEAD - self.text])
        self.text += len(text)

    def is_replay(self, text: str) -> bool:
        """Whether a last delta is the whole text once more: as long as that, which came in several pieces."""
        return len(text) == self.text >= 16 and len(self.start) < self.text and text.startswith(self.start)

    def other_parts(self, body: Mapping[str, Any], *, is_whole: bool, is_repeated: bool) -> Iterator[dict[str, Any]]:
        """Images and sources of a message or delta; what else it holds is noted.

        Args:
            body: The message or delta.
            is_whole: Whether it is a whole message.
            is_repeated: Whether it says what deltas have said.
        """
        if (images := body.get("images")) and not (is_repeated and self.has_images):
            self.has_images = True
            add_fields(self.carried, {"images": []})  # they go back in this field, and are kept as blocks alone
            given_images: Any = to_json_data(images, "images")
            for image in given_images if isinstance(given_images, list) else [given_images]:
                # A number tells an image that is said again from one that is made again.
                mark = hash(repr(image)) if isinstance(image, dict) and image.get("index") is not None else None
                if mark is None or mark not in self.image_marks:
                    self.image_marks.add(mark)
                    yield from blocks_of_images([image])
        given = body.get("audio")
        is_object = bool(given) and not isinstance(given, str | int | float | list)
        if is_object and not (is_repeated and self.audio.get("data")):
            audio = to_json_data(given, "audio")
            data, transcript = self.audio.get("data", []), self.audio.get("transcript", "")
            self.audio |= {key: value for key, value in audio.items() if value is not None}
            self.audio["data"] = [*data, audio["data"]] if isinstance(audio.get("data"), str) else data
            self.audio["transcript"] = f"{transcript}{audio.get('transcript') or ''}"
        has_cited = is_whole and isinstance(body.get("content"), str) and body["content"]
        if not has_cited and (cited := self.take_citations(body, only_own=not is_whole)) is not None:
            yield cited
        for name, value in body.items():
            if name in _MESSAGE or value in EMPTY or is_carried_field(name):
                continue
            with suppress(TypeError):  # nested beyond measure: it is not worth the answer
                plain = to_json_data(value, name)
                self.unread[name] = plain if is_whole else _joined(self.unread.get(name), plain)

    def carried_parts(self, fields: Mapping[str, Any], *, is_whole: bool) -> Iterator[Carried]:
        """What has to go back so far, if these fields of a message or delta add to it.

        It is said at once, and before the text: nothing is read after a stop string.
        """
        found = {
            name: value
            for name, value in fields.items()
            if value not in EMPTY and (name == "content" or is_carried_field(name))
        }
        if found:
            add_fields(self.carried, found, is_whole=is_whole)
            yield Carried(fields=self._fields_to_send_back())

    def _fields_to_send_back(self) -> dict[str, Any]:
        """Reasoning in the content goes back in its own form where the server put more than words into it."""
        is_kept = any(map(is_signed, self.carried.get("content", ())))
        return {name: value for name, value in self.carried.items() if name != "content" or is_kept}

    def take_citations(
        self, body: Mapping[str, Any], text: str = "", *, only_own: bool = False
    ) -> dict[str, Any] | None:
        """The sources of a message, as a block with its `text`; those that stand beside it too, unless `only_own`."""
        if not (self.citations or body.get("annotations") or body.get("citations")):
            return None
        given: list[Any] = []
        for name in ("annotations", "citations"):
            found = to_json_data(body.get(name), name)
            given += found if isinstance(found, list) else [found]
        block = cited_text_block(given, text)
        if block is not None:
            self.note_sources(block)
        if only_own or not self.citations:
            return block
        others = [one for one in to_json_data(self.citations, "citations") if one not in self.cited]
        self.citations = ()
        block = cited_text_block([*(block or {}).get("annotations", ()), *others], text)
        if block is not None:
            self.note_sources(block)
        return block

    def note_sources(self, block: Mapping[str, Any]) -> None:
        """Remember what a block cites, which may be said once more beside the message."""
        self.cited.update(str(one["url"]) for one in block["annotations"] if one.get("url"))

    def rest(self) -> list[Part]:
        """What is known once all chunks have come: audio, sources, what goes back, and what was not read."""
        parts: list[Part] = []
        if self.audio:
            audio = {**self.audio, "data": join_base64(self.audio["data"])}
            if (block := block_of_audio(audio)) is not None:
                parts.append(block)
            elif audio["transcript"]:
                parts.append(audio["transcript"])
            if given_id := audio.get("id"):  # with which OpenAI wants it to be named in later turns
                self.carried["audio"] = {"id": given_id}
            self.audio = {}
        if (cited := self.take_citations({})) is not None:
            parts.append(cited)
        if fields := self._fields_to_send_back():
            parts.append(Carried(fields=fields))
        if self.unread:
            if new := self.unread.keys() - _noted:
                _noted.update(new)
                names = ", ".join(sorted(map(repr, new)))
                log.info("an answer's message has unknown fields, kept in response_metadata['unread']: %s", names)
            parts.append(Finish(metadata={"unread": self.unread}))
        return parts


def _joined(known: Any, more: Any) -> Any:
    """An unknown field's value and its next piece, as one; what is said again, as a model's name is, counts once."""
    if known in EMPTY or known == more:
        return more
    if isinstance(known, dict) and isinstance(more, dict):
        return known | {key: _joined(known.get(key), value) for key, value in more.items()}
    if isinstance(known, str) and isinstance(more, str):
        return known + more
    if isinstance(known, list) and isinstance(more, list):
        return [*known, *more]
    return more
