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

from langplug._parts import ToolCall


@dataclass(frozen=True, slots=True)
class WholeCall:
    """A call whose arguments are complete, if not necessarily right.

    Attributes:
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
    index: str | None = None
    name: str = ""
    id: str = ""
    args: list[str] = field(default_factory=list)
    mapping: Mapping[str, Any] | None = None

    def absorb(self, piece: ToolCall) -> None:
        if piece.name and not self.name:  # servers repeat the name with every piece
            self.name = piece.name
        if piece.id and not self.id:
            self.id = piece.id
        if isinstance(piece.args, str):
            self.args.append(piece.args)
        elif isinstance(piece.args, Mapping):
            self.mapping = piece.args
        elif piece.args is not None:  # JSON other than an object, as a server may send it
            self.args.append(_json(piece.args, self.name))

    @property
    def text(self) -> str:
        return "".join(self.args).strip()

    @property
    def has_all_args(self) -> bool:
        return bool(self.mapping) or _json_object(self.text) is not None

    @property
    def is_blank(self) -> bool:
        return not (self.name or self.text or self.mapping)

    def close(self) -> WholeCall:
        text = "".join(self.args)
        parsed = dict(self.mapping) if self.mapping and not self.text else _json_object(text)
        args = text if parsed is None else _json(parsed, self.name)
        return WholeCall(self.name, self.id, args, parsed)


class CallAssembler:
    """A push parser: pieces of calls in, whole calls out, in the order in which they began."""

    def __init__(self) -> None:
        self._open: list[_OpenCall] = []
        self._used_ids: set[str] = set()

    def feed(self, piece: ToolCall) -> list[WholeCall]:
        """Take one more piece; a call that comes whole, with none open, is given on at once."""
        if isinstance(piece.args, Mapping) and not self._open and (piece.args or piece.index is None):
            args = _json(dict(piece.args), piece.name)
            return [self._identified(WholeCall(piece.name or "", piece.id or "", args, dict(piece.args)))]
        call = self._call_of(piece)
        if call is None:
            call = _OpenCall(index=None if piece.index is None else str(piece.index))
            self._open.append(call)
        call.absorb(piece)
        return []

    def flush(self) -> list[WholeCall]:
        """The calls that are still open, taken to be whole; pieces that say nothing are none."""
        calls = [self._identified(call.close()) for call in self._open if not call.is_blank]
        self._open.clear()
        return calls

    def _call_of(self, piece: ToolCall) -> _OpenCall | None:
        """The open call that `piece` goes on, by index, else by id, else by order; None if it starts one."""
        if piece.index is not None:
            return self._latest(lambda call: call.index == str(piece.index) and not _differ(call, piece))
        if piece.id and (known := self._latest(lambda call: call.id == piece.id)) is not None:
            return known
        last = self._open[-1] if self._open else None
        return None if last is None or _differ(last, piece) else last

    def _latest(self, fits: Callable[[_OpenCall], bool]) -> _OpenCall | None:
        return next((call for call in reversed(self._open) if fits(call)), None)

    def _identified(self, call: WholeCall) -> WholeCall:
        """With an id of its own: agents link results to calls by it."""
        if not call.id or call.id in self._used_ids:
            call = replace(call, id=f"call_{uuid.uuid4().hex[:24]}")
        self._used_ids.add(call.id)
        return call


def _differ(call: _OpenCall, piece: ToolCall) -> bool:
    """Whether `piece` belongs to another call: it has another id or name, or begins anew where `call` is complete."""
    if piece.id and call.id:
        return piece.id != call.id
    if isinstance(piece.args, Mapping):
        return bool(call.text or call.mapping)
    if not piece.name or not call.name:
        return False
    if piece.name != call.name:
        return call.has_all_args or call.index is None
    if not (piece.args or "").strip():  # a name that is said again; or one more call without arguments
        return call.index is None and not (call.id or call.text or call.mapping)
    return call.has_all_args and bool(call.text or call.mapping)


def _json(args: Any, name: str | None) -> str:
    try:
        return json.dumps(args, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The arguments of the call of {name!r} are {args!r}, which is no JSON data: {error}. "
            "Yield strings, numbers, booleans, None, and lists and dicts of them."
        ) from error


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text.strip() or "{}", strict=False)
    except (ValueError, RecursionError):
        return None
    if value is None:  # what some servers say for no arguments
        return {}
    if isinstance(value, str):  # some servers encode the arguments twice
        return _json_object(value) if value.lstrip().startswith("{") else None
    return value if isinstance(value, dict) else None
