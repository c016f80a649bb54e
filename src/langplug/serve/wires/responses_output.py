"""An answer on the Responses wire: its items as events of a stream, or as one response.

A stream is the same response told twice, piece by piece and whole, so both come of one object: `ResponseWriter` puts
each delta into an item, and says what has changed.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from langplug._wires import responses as wire
from langplug.serve.deltas import Block, CallArguments, CallStart, Delta, Ending, Refusal, Thought
from langplug.serve.errors import ApiError
from langplug.serve.json_text import dump
from langplug.serve.wires.responses_input import seal

Item = dict[str, Any]

_FAILURES = {429: "rate_limit_exceeded", 400: "invalid_prompt"}
"""The codes of a failed response that the wire knows, by the status that the error would have had."""

_CONTEXT = "context_length_exceeded"
"""Not among the codes that the wire's description lists, yet the API's own, and clients look for it."""


class OpenPart:
    """The text of an item that is still being written: a part of a message, or of reasoning.

    Attributes:
        events: The events that tell of it: that it begins, goes on, has its text, is over.
        place: What each of the events says of where it is.
        item: The part, with its text in the member `member`.
    """

    def __init__(self, events: tuple[str, str, str, str], place: Item, item: Item, member: str) -> None:
        self.events = events
        self.place = place
        self.item = item
        self.member = member
        self.pieces: list[str] = []
        more: Item = {"logprobs": []} if item["type"] == "output_text" else {}
        # of a delta's event, all but its number and its text is the same each time, and written once
        constant = dump({"type": events[1], **place, **more})[:-1]
        self.prefix = f"event: {events[1]}\ndata: ".encode() + constant + b',"sequence_number":'

    def close(self) -> None:
        """Put the text together."""
        self.item[self.member] = "".join(self.pieces)


_TEXT = (wire.PART_ADDED, wire.TEXT_DELTA, wire.TEXT_DONE, wire.PART_DONE)
_REFUSAL = (wire.PART_ADDED, wire.REFUSAL_DELTA, wire.REFUSAL_DONE, wire.PART_DONE)
_RAW = (wire.PART_ADDED, wire.REASONING_DELTA, wire.REASONING_DONE, wire.PART_DONE)
_SUMMARY = (wire.SUMMARY_PART_ADDED, wire.SUMMARY_DELTA, wire.SUMMARY_DONE, wire.SUMMARY_PART_DONE)


class ResponseWriter:
    """Writes one answer, streamed or whole.

    Items are told in the order in which they begin, and end when something else begins. A call ends then only if its
    arguments are whole, for the pieces of several calls may come in turns; else it ends with the answer.

    Args:
        frame: The response as it is before anything is in it: its id, its settings, what it echoes.
        customs: Names of the tools that take a text.
        summarized: Whether reasoning is given as a summary, and not as the text that it is.
        sealed: Whether what the model wants back with its reasoning is told.
        with_logprobs: Whether it is told how likely each token was, if that is known.
    """

    def __init__(
        self,
        frame: Item,
        *,
        customs: frozenset[str] = frozenset(),
        summarized: bool = False,
        sealed: bool = False,
        with_logprobs: bool = False,
    ) -> None:
        self._frame = frame
        self._customs = customs
        self._summarized = summarized
        self._sealed = sealed
        self._with_logprobs = with_logprobs
        self._suffix = str(frame["id"]).partition("_")[2]
        self._number = 0
        self._output: list[Item] = []
        self._calls: dict[int, tuple[int, list[str]]] = {}
        self._place = -1
        """Where the message or the reasoning stands that is open; -1 if none is."""
        self._part: OpenPart | None = None
        self._out: list[bytes] = []

    # --- what every writer has ---

    def begin(self) -> bytes:
        """The response is there, and nothing in it."""
        self._event(wire.CREATED, response=self.response)
        self._event(wire.IN_PROGRESS, response=self.response)
        return self._told()

    def feed(self, delta: Delta, /) -> bytes:
        """The events of the next piece of the answer; none if it adds nothing that this wire can say."""
        match delta:
            case str():
                self._say("output_text", delta)
            case Thought():
                self._think(delta)
            case CallStart():
                self._close_item()
                names = {"call_id": delta.id, "name": delta.name}
                place = (
                    self._begin_item(wire.CUSTOM_CALL, "ctc", **names, input="")
                    if delta.name in self._customs
                    else self._begin_item(wire.FUNCTION_CALL, "fc", **names, arguments="")
                )
                self._calls[delta.index] = (place, [])
            case CallArguments(index, text):
                place, pieces = self._calls.get(index) or (-1, [])
                if place >= 0 and text:  # what comes after the end of the arguments is blank
                    pieces.append(text)
                    item = self._output[place]
                    if item["type"] == wire.FUNCTION_CALL:  # else it is a piece of JSON, and not of the tool's text
                        where = {"item_id": item["id"], "output_index": place}
                        self._event(wire.ARGUMENTS_DELTA, **where, delta=text)
            case Refusal():
                self._say("refusal", delta.text)
            case Block():
                self._add_block(delta.block)
        return self._told()

    def end(self, ending: Ending, /) -> bytes:
        """Whatever is open ends, and the response is told whole."""
        reason = wire.INCOMPLETE_BY_FINISH.get(ending.finish_reason or "")
        status, last = ("incomplete", wire.INCOMPLETE) if reason else ("completed", wire.COMPLETED)
        likely = (ending.logprobs or {}).get("content") or () if self._with_logprobs else ()
        tokens = [{**token_of(one), "top_logprobs": [*map(token_of, one.get("top_logprobs") or ())]} for one in likely]
        self._close_item(status, tokens)
        for place, pieces in self._calls.values():
            self._end_call(place, "".join(pieces), status)
        self._calls.clear()
        details = {"reason": reason} if reason else None
        self._frame |= {"status": status, "incomplete_details": details, "usage": usage_of(ending.usage)}
        self._event(last, response=self.response)
        return self._told()

    def fail(self, error: ApiError, /) -> bytes:
        """The response has failed. Nothing that is open is told to be done: a client would make half a call."""
        if self._part is not None:
            self._part.close()
        for place, pieces in self._calls.values():
            put_arguments(self._output[place], "".join(pieces))
        for item in self._output:
            item["status"] = "incomplete" if item["status"] == "in_progress" else item["status"]
        code = error.code if error.code == _CONTEXT else _FAILURES.get(error.status, "server_error")
        self._frame |= {"status": "failed", "error": {"code": code, "message": error.message}}
        self._event(wire.FAILED, response=self.response)
        return self._told()

    def ping(self) -> bytes:
        """A comment, which readers of server-sent events skip."""
        return b": ping\n\n"

    def whole(self, deltas: Iterable[Delta], ending: Ending, /) -> Item:
        """The answer as one response."""
        for delta in deltas:
            self.feed(delta)
        self.end(ending)
        return self.response

    @property
    def response(self) -> Item:
        """The response as it is by now."""
        return {**self._frame, "output": self._output}

    # --- events ---

    def _event(self, kind: str, **data: Any) -> None:
        told = dump({"type": kind, **data, "sequence_number": self._number})
        self._out += (f"event: {kind}\ndata: ".encode(), told, b"\n\n")
        self._number += 1

    def _told(self) -> bytes:
        told = b"".join(self._out)
        self._out.clear()
        return told

    # --- messages and reasoning, of which one is open at a time, with one part ---

    def _say(self, kind: str, text: str) -> None:
        if text:
            self._add_text(self._message_part(kind), text)

    def _message_part(self, kind: str) -> OpenPart:
        """The open part of that kind, of the open message; both begin if they are not there."""
        part = self._part
        if part is not None and part.item["type"] == kind:
            return part
        if self._place < 0 or self._output[self._place]["type"] != wire.MESSAGE:
            self._close_item()
            self._place = self._begin_item(wire.MESSAGE, "msg", role="assistant", content=[])
        self._close_part()
        if kind == "refusal":
            return self._begin_part(_REFUSAL, "content", "refusal", {"type": kind, "refusal": ""})
        return self._begin_part(_TEXT, "content", "text", {"type": kind, "text": "", "annotations": [], "logprobs": []})

    def _think(self, thought: Thought) -> None:
        """Go on with the reasoning. What its provider wants back ends it: the next one is another."""
        if not thought.text and not thought.extras:
            return
        if self._place < 0 or self._output[self._place]["type"] != wire.REASONING:
            self._close_item()
            members: Item = {"summary": []} if self._summarized else {"summary": [], "content": []}
            self._place = self._begin_item(wire.REASONING, "rs", **members, encrypted_content=None)
        if thought.text:
            name = "summary" if self._summarized else "content"
            kind, events = ("summary_text", _SUMMARY) if self._summarized else ("reasoning_text", _RAW)
            part = self._part or self._begin_part(events, name, "text", {"type": kind, "text": ""})
            self._add_text(part, thought.text)
        if thought.extras:
            self._output[self._place]["encrypted_content"] = seal(thought.extras) if self._sealed else None
            self._close_item()

    def _begin_part(self, events: tuple[str, str, str, str], list_name: str, member: str, part: Item) -> OpenPart:
        item = self._output[self._place]
        index = "summary_index" if list_name == "summary" else "content_index"
        place = {"item_id": item["id"], "output_index": self._place, index: len(item[list_name])}
        self._event(events[0], **place, part=part)
        item[list_name].append(part)
        self._part = OpenPart(events, place, part, member)
        return self._part

    def _add_text(self, part: OpenPart, text: str) -> None:
        part.pieces.append(text)
        self._out += (part.prefix, b'%d,"delta":' % self._number, dump(text), b"}\n\n")
        self._number += 1

    def _close_part(self, logprobs: list[Item] | None = None) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        part.close()
        more: Item = {}
        if part.item["type"] == "output_text":
            part.item["logprobs"] = more["logprobs"] = logprobs or []
        self._event(part.events[2], **part.place, **{part.member: part.item[part.member]}, **more)
        self._event(part.events[3], **part.place, part=part.item)

    def _close_item(self, status: str = "completed", logprobs: list[Item] | None = None) -> None:
        self._close_part(logprobs)
        if self._place >= 0:
            self._end_item(self._place, status)
            self._place = -1

    # --- items ---

    def _begin_item(self, kind: str, prefix: str, **members: Any) -> int:
        """Add an item, and return its place. The calls end that are whole by now."""
        for index, (place, pieces) in [*self._calls.items()]:
            if is_whole(arguments := "".join(pieces)):
                self._end_call(place, arguments, "completed")
                del self._calls[index]
        place = len(self._output)
        item: Item = {"type": kind, "id": f"{prefix}_{self._suffix}{place:02d}", **members, "status": "in_progress"}
        self._output.append(item)
        self._event(wire.ITEM_ADDED, output_index=place, item=item)
        return place

    def _end_item(self, place: int, status: str) -> None:
        self._output[place]["status"] = status
        self._event(wire.ITEM_DONE, output_index=place, item=self._output[place])

    # --- calls, of which any number may be open ---

    def _end_call(self, place: int, arguments: str, status: str) -> None:
        item = self._output[place]
        put_arguments(item, arguments or "{}")
        where = {"item_id": item["id"], "output_index": place}
        if item["type"] == wire.CUSTOM_CALL:
            self._event(wire.INPUT_DELTA, **where, delta=item["input"])
            self._event(wire.INPUT_DONE, **where, input=item["input"])
        else:
            self._event(wire.ARGUMENTS_DONE, **where, name=item["name"], arguments=item["arguments"])
        self._end_item(place, status)

    # --- what else an answer may hold ---

    def _add_block(self, block: Mapping[str, Any]) -> None:
        """An image, or a text with its sources. Other blocks have no place on this wire."""
        if block.get("type") == "image" and block.get("base64"):
            self._close_item()
            place = self._begin_item("image_generation_call", "ig", result=None)
            self._output[place]["result"] = block["base64"]
            self._end_item(place, "completed")
        elif block.get("type") == "text":
            self._say("output_text", block.get("text") or "")
            for source in block.get("annotations") or ():
                if not source.get("url"):
                    continue
                part = self._message_part("output_text")
                listed: list[Item] = part.item["annotations"]
                annotation = {
                    "type": "url_citation",
                    "url": source["url"],
                    "title": source.get("title") or "",
                    "start_index": source.get("start_index") or 0,
                    "end_index": source.get("end_index") or sum(map(len, part.pieces)),
                }
                self._event(wire.ANNOTATION_ADDED, **part.place, annotation_index=len(listed), annotation=annotation)
                listed.append(annotation)


def is_whole(arguments: str) -> bool:
    """Whether arguments are a whole JSON object, so that no other piece of them can come."""
    if not arguments.rstrip().endswith("}"):
        return False
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True


def put_arguments(item: Item, arguments: str) -> None:
    """Put into a call what the model has written for it.

    A tool that takes a text is given the text in it; what is not of that form, which the model was asked for, stays.
    """
    if item["type"] == wire.FUNCTION_CALL:
        item["arguments"] = arguments
        return
    try:
        text = json.loads(arguments)["input"]
    except (ValueError, LookupError, TypeError):
        text = None
    item["input"] = text if isinstance(text, str) else arguments


def token_of(said: Mapping[str, Any]) -> Item:
    """A token and how likely it was, with its bytes, which chat completions may leave out."""
    token = str(said["token"])
    return {
        "token": token,
        "logprob": said["logprob"],
        "bytes": said.get("bytes") or list(token.encode("utf-8", "replace")),
    }


def usage_of(usage: Mapping[str, Any] | None) -> Item | None:
    """LangChain's usage metadata as this wire has it; None if the model has not said how much it took."""
    if not usage:
        return None
    read, written = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    of_input, of_output = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": of_input.get("cache_read") or 0,
            "cache_write_tokens": of_input.get("cache_creation") or 0,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": of_output.get("reasoning") or 0},
        "total_tokens": usage.get("total_tokens") or read + written,
    }


def echo_of(body: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """What a response repeats of what was asked, and what holds where nothing was said. Skipped tools are left out."""
    tools = [
        {"parameters": None, "strict": None, **tool} if tool["type"] == "function" else tool
        for tool in body.get("tools") or ()
        if tool["type"] in ("function", "custom") and tool["name"] in names
    ]
    reasoning = body.get("reasoning") or {}
    return {
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": body.get("safety_identifier"),
        "store": False,
        "temperature": body.get("temperature"),
        "text": {"format": {"type": "text"}, **(body.get("text") or {})},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": tools,
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": body.get("top_p"),
        "truncation": body.get("truncation") or "disabled",
        "usage": None,
        "user": body.get("user"),
    }
