"""What OpenAI's Responses API answers, read as parts: its events one by one, or a response that came whole.

Text, reasoning and arguments are given on as they come. An item that is done repeats them, and the last event repeats
all items: of these, only what is new is read, so that servers which leave out some of the events are read as well.

Whoever calls this turns an `AttributeError`, `LookupError`, `TypeError` or `ValueError` into an error of its own: the
data do not have that shape.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langplug._answer.carried import Carried
from langplug._answer.from_openai import readable_counts, usage_in
from langplug._answer.json_data import to_json_data
from langplug._answer.openai_blocks import blocks_of_images, cited_text_block
from langplug._answer.server_errors import error_of
from langplug._messages.carried import OUTPUT_ITEMS
from langplug._parts import Finish, Part, Reasoning, ToolCall
from langplug._wires import responses as wire

Item = Mapping[str, Any]

_TEXTS: Mapping[str, str] = {"output_text": "text", "refusal": "refusal"}
"""The parts of a message, and where they have their text."""

_RESULTS = ("results", "outputs", "output", "error")
"""Where an item of a server's own tool has what that gave."""

_NOT_ARGS = frozenset({"id", "type", "status", "call_id", "name", "server_label", *_RESULTS})


@dataclass(slots=True)
class ResponseSoFar:
    """What the events of one response have brought.

    Attributes:
        sent: Characters given on, by the kind of text and the item that it belongs to.
        annotations: How many sources were given on, by the item.
        seen: The items that events were about: by their place in the output, and by their ids.
        calls: The calls, each with its number, by the item.
        call_ids: Their ids.
        text: Characters of the answer's text.
        blocks: How many blocks that are not text.
        carried: Items that go back as they came, each with what it came after.
        summary: The item and the part of its summary that the last piece of reasoning belongs to.
        metadata: What was said of the response.
    """

    sent: dict[tuple[str, Any], int] = field(default_factory=dict)
    annotations: dict[Any, int] = field(default_factory=dict)
    seen: set[Any] = field(default_factory=set)
    calls: dict[Any, int] = field(default_factory=dict)
    call_ids: list[str] = field(default_factory=list)
    text: int = 0
    blocks: int = 0
    carried: list[dict[str, Any]] = field(default_factory=list)
    summary: tuple[Any, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def text_of_plain_delta(self, event: Item) -> str | None:
        """The text of an event that goes on with a text, by far the most frequent kind; None for any other."""
        text, known = event.get("delta"), self.sent.get(("text", event.get("output_index")))
        if known is None or type(text) is not str or event.get("logprobs"):
            return None
        self.sent["text", event["output_index"]] = known + len(text)
        self.text += len(text)
        return text

    def read_event(self, event: Item) -> Iterator[Part]:
        """The parts that an event adds. One of an unknown type adds none.

        Raises:
            ModelError: If it says that the response failed.
        """
        kind = event["type"]
        if isinstance(response := event.get("response"), Mapping):
            yield from self.read_response(response, is_last=kind in wire.LAST_EVENTS)
            return
        item = event.get("item")
        # What tells the event's item from the others: its place in the output, else its id.
        item_id = event.get("item_id") or (item.get("id") if isinstance(item, Mapping) else None)
        index = event.get("output_index")
        self.seen |= {one for one in (item_id, index) if isinstance(one, str | int)}
        place = index if isinstance(index, int) else item_id
        if kind == wire.TEXT_DELTA:
            yield from self._read_text(place, event["delta"], event.get("logprobs"))
        elif kind in (wire.SUMMARY_DELTA, wire.REASONING_DELTA):
            yield from self._read_reasoning(kind, place, event)
        elif kind == wire.ARGUMENTS_DELTA:
            yield self._fragment(place, {}, self._new(kind, place, event["delta"]))
        elif kind == wire.REFUSAL_DELTA:
            yield {"type": "refusal", "refusal": self._new("refusal", place, event["delta"])}
        elif kind == wire.ANNOTATION_ADDED and event.get("annotation"):
            self.annotations[place] = self.annotations.get(place, 0) + 1
            if cited := cited_text_block([event["annotation"]]):
                yield cited
        elif kind == wire.ITEM_ADDED and isinstance(item, Mapping) and item.get("type") == wire.FUNCTION_CALL:
            yield self._fragment(place, item, "")
        elif kind == wire.ITEM_DONE and isinstance(item, Mapping):
            yield from self._read_item(place, item)

    def read_response(self, response: Item, *, is_last: bool) -> Iterator[Part]:
        """The parts that a response adds: what is known of it, and, if it is the last word, all that is new.

        Raises:
            ModelError: If it failed.
        """
        if error := response.get("error"):
            raise error_of(error)
        said = {"model_name": response.get("model"), "service_tier": response.get("service_tier")}
        if new := {name: value for name, value in said.items() if value and self.metadata.get(name) != value}:
            self.metadata |= new
            yield Finish(metadata=new)
        if not is_last:
            return
        for place, item in enumerate(response.get("output") or ()):
            if place not in self.seen and item.get("id") not in self.seen:
                yield from self._read_item(place, item)
        if isinstance(usage := response.get("usage"), Mapping):
            yield usage_in(readable_counts(usage))
        reason = wire.finish_reason(response)
        yield Finish(reason="tool_calls" if reason == "stop" and self.calls else reason)

    def _new(self, kind: str, place: Any, text: Any, *, is_whole: bool = False) -> str:
        """A piece of text; of a whole one, what has not come in pieces."""
        if not isinstance(text, str):
            raise TypeError(f"{text!r} stands where a text should")
        known = self.sent.get((kind, place), 0)
        new = text[known:] if is_whole else text
        self.sent[kind, place] = known + len(new)
        return new

    def _read_text(self, place: Any, text: Any, logprobs: Any = None) -> Iterator[Part]:
        if new := self._new("text", place, text):
            self.text += len(new)
            yield new
        if logprobs:
            yield Finish(metadata={"logprobs": {"content": to_json_data(logprobs, "logprobs")}})

    def _read_reasoning(self, kind: str, place: Any, event: Item) -> Iterator[Part]:
        """A piece of it. Some servers send the reasoning and a summary of it: what comes first is read."""
        other = wire.REASONING_DELTA if kind == wire.SUMMARY_DELTA else wire.SUMMARY_DELTA
        if (other, place) in self.sent:
            return
        text = self._new(kind, place, event["delta"])
        part = (place, event.get("summary_index", event.get("content_index")))
        if self.summary is not None and self.summary != part:
            text = f"\n\n{text}"
        self.summary = part
        yield Reasoning(text)

    def _fragment(self, place: Any, item: Item, args: str) -> ToolCall:
        number = self.calls.setdefault(place, len(self.calls))
        call_id = item.get("call_id") or item.get("id")
        if call_id and call_id not in self.call_ids:
            self.call_ids.append(str(call_id))
        name = item.get("name") or None
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a call has the name {name!r}")
        return ToolCall(index=number, id=str(call_id) if call_id else None, name=name, args=args or None)

    # --- items that are done ---

    def _read_item(self, place: Any, item: Item) -> Iterator[Part]:
        """What of a whole item is new."""
        kind = str(item.get("type"))
        if kind == wire.MESSAGE:
            yield from self._read_message(place, item)
        elif kind == wire.FUNCTION_CALL:
            is_known = place in self.calls
            rest = self._new(wire.ARGUMENTS_DELTA, place, item.get("arguments") or "", is_whole=True)
            if rest or not is_known or item.get("call_id") not in self.call_ids:
                yield self._fragment(place, item, rest)
        elif kind == wire.CUSTOM_CALL:  # of a tool that takes text, for which LangChain has no call of its own
            call = self._fragment(place, item, "")
            args = {"input": item.get("input") or ""}
            yield ToolCall(index=call.index, id=call.id, name=call.name, args=args, extras={"type": "custom"})
        elif kind == wire.REASONING:
            yield from self._read_thought(place, item)
        elif kind == "image_generation_call":
            for block in blocks_of_images([{"b64_json": item["result"]}] if item.get("result") else []):
                self.blocks += 1
                yield block
        elif kind not in wire.CALL_ITEMS.values():
            yield self._carry(item)
            for block in blocks_of_step(item):
                self.blocks += 1
                yield block

    def _read_message(self, place: Any, item: Item) -> Iterator[Part]:
        content = [part for part in item.get("content") or () if isinstance(part, Mapping)]
        of_text = [part for part in content if part.get("type") == "output_text"]
        if not self.sent.keys() & {("text", place), ("refusal", place)} and place not in self.annotations:
            for part in content:
                if part.get("type") not in _TEXTS:
                    continue
                text = part.get(_TEXTS[part["type"]]) or ""
                if part["type"] == "refusal":
                    yield {"type": "refusal", "refusal": self._new("refusal", place, text)}
                elif cited := cited_text_block(part.get("annotations") or [], self._new("text", place, text)):
                    self.text += len(text)
                    yield cited
                elif text:
                    self.text += len(text)
                    yield text
                if part.get("logprobs"):
                    yield from self._read_text(place, "", part["logprobs"])
            return
        said = "".join(part.get("text") or "" for part in of_text)
        yield from self._read_text(place, said[self.sent.get(("text", place), 0) :])
        declined = "".join(part.get("refusal") or "" for part in content if part.get("type") == "refusal")
        if rest := self._new("refusal", place, declined, is_whole=True):
            yield {"type": "refusal", "refusal": rest}
        sources = [source for part in of_text for source in part.get("annotations") or ()]
        if cited := cited_text_block(sources[self.annotations.get(place, 0) :]):
            yield cited

    def _read_thought(self, place: Any, item: Item) -> Iterator[Part]:
        """Reasoning that has not come in pieces. What only its server can read goes back to it."""
        if not self.sent.keys() & {(wire.REASONING_DELTA, place), (wire.SUMMARY_DELTA, place)}:
            for kind, name in ((wire.REASONING_DELTA, "content"), (wire.SUMMARY_DELTA, "summary")):
                for number, part in enumerate(item.get(name) or ()):
                    if part.get("text"):
                        where = {"delta": part["text"], "summary_index": number}
                        yield from self._read_reasoning(kind, place, where)
        if item.get("encrypted_content"):
            yield self._carry(item)

    def _carry(self, item: Item) -> Carried:
        plain = to_json_data({name: value for name, value in item.items() if value is not None}, "output")
        after = {"text": self.text, "blocks": self.blocks, "calls": [*self.call_ids]}
        self.carried.append({"item": plain, "after": after})
        return Carried(fields={OUTPUT_ITEMS: [*self.carried]})


def blocks_of_step(item: Item) -> Iterator[dict[str, Any]]:
    """What a tool did that runs at the server, as LangChain's blocks: the call, and what it gave."""
    call_id, kind = str(item.get("id")), str(item.get("type"))
    args: dict[str, Any] = {}
    for name, value in item.items():
        if name in _NOT_ARGS or value is None:
            continue
        if name == "arguments" and isinstance(value, str):
            with suppress(ValueError):
                value = json.loads(value)  # noqa: PLW2901 - the same, readable
        args |= value if name in ("action", "arguments") and isinstance(value, Mapping) else {name: value}
    name = str(item.get("name") or kind.removesuffix("_call"))
    yield {"type": "server_tool_call", "id": call_id, "name": name, "args": to_json_data(args, "args")}
    given = {name: item[name] for name in _RESULTS if item.get(name) is not None}
    status = "error" if item.get("status") in ("failed", "incomplete") or "error" in given else "success"
    output = {"output": to_json_data(next(iter(given.values())), "output")} if given else {}
    yield {"type": "server_tool_result", "tool_call_id": call_id, "status": status, **output}
