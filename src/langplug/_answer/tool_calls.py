"""Tool calls put together from whatever pieces a source sends.

A call that comes in fragments is given on once something else follows its complete arguments, or at the end of the
answer: servers interleave fragments, and langchain-core completes cut-off JSON to something that looks like a valid
call (langchain #39275), so arguments that were given on too early could not be called back. Readers of version 3 of the
events are shown the fragments as they come, since there the end of a block says what came of it.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langplug._answer.json_data import PLAIN, to_json_data
from langplug._parts import ToolCall


@dataclass(frozen=True, slots=True)
class WholeCall:
    """A call whose arguments are complete, if not necessarily right.

    Attributes:
        name: The tool's name; empty if the source gave none.
        id: Never empty, unique within the answer.
        args: JSON text.
        parsed: The arguments, or None where `args` is not a JSON object.
        shown: The number under which its fragments were shown, or None if they were not.
    """

    name: str
    id: str
    args: str
    parsed: dict[str, Any] | None
    shown: int | None = None


@dataclass(frozen=True, slots=True)
class CallFragment:
    """The next piece of a call that is still to come as a `WholeCall`, for whoever can show it before.

    Attributes:
        number: The call's number among those that are shown so, from 0.
        name: The tool's name.
        id: The call's id.
        args: The next piece of the arguments, as JSON text.
    """

    number: int
    name: str
    id: str
    args: str


@dataclass(slots=True)
class _OpenCall:
    """A call that may still get fragments."""

    index: str | None = None
    name: str = ""
    id: str = ""
    fragments: list[str] = field(default_factory=list)
    mapping: dict[str, Any] | None = None
    shown: int | None = None
    shown_id: str = ""
    shown_fragments: int = 0

    def absorb(self, piece: ToolCall) -> None:
        if piece.name and not self.name:  # servers repeat the name with every piece
            self.name = piece.name
        if piece.id and not self.id:
            self.id = piece.id
        if isinstance(piece.args, str):
            self.fragments.append(piece.args)
        elif isinstance(piece.args, Mapping):
            self.mapping = json.loads(_to_json(piece.args, self.name))
        elif piece.args is not None:  # JSON other than an object, as a server may send it
            self.fragments.append(_to_json(piece.args, self.name))

    @property
    def text(self) -> str:
        return "".join(self.fragments).strip()

    @property
    def has_all_args(self) -> bool:
        return bool(self.mapping) or _json_object(self.text) is not None

    def close(self) -> WholeCall:
        text = "".join(self.fragments)
        parsed = self.mapping if self.mapping and not text.strip() else _json_object(text)
        # Written anew if they could be read, so that what reads them next need not be as patient as we are.
        args = text if parsed is None else _to_json(parsed, self.name)
        return WholeCall(self.name, self.id, args, parsed, self.shown)


class CallAssembler:
    """A push parser: pieces of calls in, whole calls out, in the order in which they began."""

    def __init__(self) -> None:
        self._open: list[_OpenCall] = []
        self._used_ids: set[str] = set()
        self._completed: list[_OpenCall] = []
        self._last: _OpenCall | None = None  # the call that the last piece belongs to, if it is open
        self._shown = 0

    def feed(self, piece: ToolCall) -> list[WholeCall]:
        """Take one more piece; a call that comes whole, with none open, is given on at once.

        Raises:
            TypeError: If its arguments are not JSON data.
        """
        self._last = None
        if isinstance(piece.args, Mapping) and not self._open and (piece.args or piece.index is None):
            args = _to_json(piece.args, piece.name)
            return [WholeCall(piece.name or "", self._unused_id(piece.id), args, json.loads(args))]
        # The call that it goes on: by index, else by id, else the last one, as most servers that send neither mean it.
        if piece.index is not None:
            index = str(piece.index)  # some servers count in numbers here and in strings there
            call = self._latest(lambda open_call: open_call.index == index and not _is_of_another(piece, open_call))
        else:
            call = self._latest(lambda open_call: open_call.id == piece.id) if piece.id else None
            if call is None and self._open and not _is_of_another(piece, self._open[-1]):
                call = self._open[-1]
        if call is None:
            if self._completed and self._repeats_completed(piece):
                return []
            call = _OpenCall(index=None if piece.index is None else str(piece.index))
            self._open.append(call)
        call.absorb(piece)
        self._last = call
        return []

    def last_fragments(self, allowed: int | None = None) -> list[CallFragment]:
        """What can be shown of the call that the last piece belongs to, and was not shown yet.

        A call is shown from its name and first argument on, if all calls before it are.

        Args:
            allowed: How many more calls the request allows. Default: any number.
        """
        call = self._last
        if call is None:
            return []
        if call.shown is None:
            before = self._open[: self._open.index(call)]
            has_begun = call.name and call.text and call.mapping is None
            is_next = all(one.shown is not None for one in before) and (allowed is None or len(before) < allowed)
            if not (has_begun and is_next):
                return []
            call.shown = self._shown
            self._shown += 1
            call.shown_id = self._unused_id(call.id)
        args = "".join(call.fragments[call.shown_fragments :])
        call.shown_fragments = len(call.fragments)
        return [CallFragment(call.shown, call.name, call.shown_id, args)] if args else []

    def completed(self) -> list[WholeCall]:
        """The calls at the beginning of the line whose arguments are complete, now that something else follows them."""
        calls: list[WholeCall] = []
        while self._open and self._open[0].name and self._open[0].text and self._open[0].has_all_args:
            call = self._open.pop(0)
            self._completed.append(call)
            calls.append(self._close(call))
        return calls

    def _repeats_completed(self, piece: ToolCall) -> bool:
        """Whether `piece` says no more than the name and the id of a call that was given on, as some servers repeat."""
        if piece.args and (not isinstance(piece.args, str) or piece.args.strip()):
            return False
        if piece.id:
            return any(call.id == piece.id for call in self._completed)
        index = None if piece.index is None else str(piece.index)
        return any(call.index == index and piece.name in (None, "", call.name) for call in self._completed)

    def flush(self) -> list[WholeCall]:
        """The calls that are still open, taken to be whole; those that got nothing but an id are left out."""
        calls = [call for call in self._open if call.name or call.text or call.mapping]
        self._open.clear()
        return [self._close(call) for call in calls]

    def _latest(self, fits: Callable[[_OpenCall], bool]) -> _OpenCall | None:
        return next((call for call in reversed(self._open) if fits(call)), None)

    def _close(self, call: _OpenCall) -> WholeCall:
        # What was shown under one id keeps it, unless the source has given another one since.
        is_settled = call.shown is not None and (not call.id or call.id in self._used_ids)
        return replace(call.close(), id=call.shown_id if is_settled else self._unused_id(call.id))

    def _unused_id(self, given: str | None) -> str:
        """`given`, or an id of its own: agents link results to calls by it."""
        call_id = given if given and given not in self._used_ids else f"call_{uuid.uuid4().hex[:24]}"
        self._used_ids.add(call_id)
        return call_id


def _is_of_another(piece: ToolCall, call: _OpenCall) -> bool:
    """Whether `piece` belongs to another call than `call`: it has another id or name, or begins anew after its end.

    Servers that number every call 0, or none, and send no ids, still mean several calls: `f {"a": 1}` and then
    `f {"a": 2}` are two, while `f`, `{"a": 1}` and `f` again is one whose name is repeated.
    """
    if piece.id and call.id:
        return piece.id != call.id
    if isinstance(piece.args, Mapping):  # a whole call, so nothing can have come of it yet
        return bool(call.text or call.mapping)
    if not piece.name or not call.name:
        return False
    if piece.name != call.name:
        # Under one index, only a call whose arguments are complete can be over; without one, a name begins a call.
        return call.has_all_args or call.index is None
    if isinstance(piece.args, str | None) and not (piece.args or "").strip():
        # The same name without arguments: repeated; or, after a call that got nothing but its name, one more call.
        return call.index is None and not (call.id or call.text or call.mapping)
    return call.has_all_args and bool(call.text or call.mapping)


def _to_json(args: Any, name: str | None) -> str:
    try:
        try:
            return json.dumps(dict(args) if isinstance(args, Mapping) else args, ensure_ascii=False)
        except (TypeError, ValueError):  # dates, numpy's scalars: what a function computes arguments from
            return json.dumps(to_json_data(args, "args"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"The arguments of the call of {name!r} are {args!r}, which is not JSON data: {error}. {PLAIN}"
        ) from error


def _json_object(text: str) -> dict[str, Any] | None:
    """The object that `text` is, or None if it is not one."""
    try:
        value = json.loads(text.strip() or "{}", strict=False)  # not strict: small models leave newlines unescaped
    except (ValueError, RecursionError):
        return None
    if value is None:  # what some servers say for no arguments
        return {}
    if isinstance(value, str):  # some servers encode the arguments twice
        return _json_object(value) if value.lstrip().startswith("{") else None
    return value if isinstance(value, dict) else None
