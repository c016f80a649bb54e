"""Tool calls put together from whatever pieces a source sends.

A call that comes in fragments is given on at the end of the answer: servers interleave fragments, and langchain-core
completes cut-off JSON to something that looks like a valid call (langchain #39275), so arguments that were given on
too early could not be called back.
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
    """

    name: str
    id: str
    args: str
    parsed: dict[str, Any] | None


@dataclass(slots=True)
class _OpenCall:
    """A call that may still get fragments."""

    index: str | None = None
    name: str = ""
    id: str = ""
    fragments: list[str] = field(default_factory=list)
    mapping: dict[str, Any] | None = None

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
        return WholeCall(self.name, self.id, args, parsed)


class CallAssembler:
    """A push parser: pieces of calls in, whole calls out, in the order in which they began."""

    def __init__(self) -> None:
        self._open: list[_OpenCall] = []
        self._used_ids: set[str] = set()

    def feed(self, piece: ToolCall) -> list[WholeCall]:
        """Take one more piece; a call that comes whole, with none open, is given on at once.

        Raises:
            TypeError: If its arguments are not JSON data.
        """
        if isinstance(piece.args, Mapping) and not self._open and (piece.args or piece.index is None):
            args = _to_json(piece.args, piece.name)
            return [self._assign_id(WholeCall(piece.name or "", piece.id or "", args, json.loads(args)))]
        # The call that it goes on: by index, else by id, else the last one, as most servers that send neither mean it.
        if piece.index is not None:
            index = str(piece.index)  # some servers count in numbers here and in strings there
            call = self._latest(lambda open_call: open_call.index == index and not _is_of_another(piece, open_call))
        else:
            call = self._latest(lambda open_call: open_call.id == piece.id) if piece.id else None
            if call is None and self._open and not _is_of_another(piece, self._open[-1]):
                call = self._open[-1]
        if call is None:
            call = _OpenCall(index=None if piece.index is None else str(piece.index))
            self._open.append(call)
        call.absorb(piece)
        return []

    def flush(self) -> list[WholeCall]:
        """The calls that are still open, taken to be whole; those that got nothing but an id are left out."""
        calls = [call for call in self._open if call.name or call.text or call.mapping]
        self._open.clear()
        return [self._assign_id(call.close()) for call in calls]

    def _latest(self, fits: Callable[[_OpenCall], bool]) -> _OpenCall | None:
        return next((call for call in reversed(self._open) if fits(call)), None)

    def _assign_id(self, call: WholeCall) -> WholeCall:
        """With an id of its own: agents link results to calls by it."""
        if not call.id or call.id in self._used_ids:
            call = replace(call, id=f"call_{uuid.uuid4().hex[:24]}")
        self._used_ids.add(call.id)
        return call


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
