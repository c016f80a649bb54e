"""Tool calls put together from whatever pieces a source sends.

A call that comes in fragments is given on once something else follows its complete arguments, or at the end of the
answer: servers interleave fragments, and langchain-core completes cut-off JSON to something that looks like a valid
call (langchain #39275), so arguments that were given on too early could not be called back. Readers of version 3 of the
events are shown the fragments as they come, since there the end of a block says what came of it.

What one call is, is decided from all that is known of it: index, id, name, whether its arguments are complete, and
whether it came in fragments or in a whole message. Where that leaves several readings, the one counts in which every
call has arguments; and if that cannot be told, the call is invalid: no tool runs with arguments that the model did not
write.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from json.decoder import WHITESPACE  # type: ignore[attr-defined] # a pattern, which typeshed leaves out
from typing import Any

from langplug._answer.json_data import PLAIN, to_json_data
from langplug._parts import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInMessage(ToolCall):
    """A call in a message that came whole, so that nothing goes on with it; after fragments, what they came to.

    Attributes:
        position: Its place among the message's calls, from 0.
    """

    position: int


@dataclass(frozen=True, slots=True)
class WholeCall:
    """A call whose arguments are complete, if not necessarily right.

    Attributes:
        name: The tool's name; empty if the source gave none.
        id: Never empty, unique within the answer.
        args: JSON text.
        parsed: The arguments, or None where `args` is not a JSON object.
        shown: The number under which its fragments were shown, or None if they were not.
        extras: What has to be sent back with it.
    """

    name: str
    id: str
    args: str
    parsed: dict[str, Any] | None
    shown: int | None = None
    extras: dict[str, Any] | None = None


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


_NO_ARGS = ("{}", "null")
"""Arguments that say that there are none; some servers send them before those that there are."""

_JSON = json.JSONDecoder(strict=False)  # not strict: small models leave newlines unescaped


@dataclass(slots=True)
class _OpenCall:
    """A call that may still get fragments; or several, as long as they cannot be told apart.

    Attributes:
        ids: All ids that came with its pieces, in order; the first is its own.
        marks: The pieces that had an id or a name: the number of the fragment, the id, the name.
        has_text: Whether arguments came that are not blank.
        has_args: Whether arguments came other than `_NO_ARGS`.
        is_sealed: Whether it came whole, so that no fragment goes on with it.
        is_tentative: Whether it repeats the name of the call before it: it is one only if arguments follow.
        is_given: Whether it was given on.
        shown: The number under which its fragments are shown, if they are.
        extras: What has to be sent back with it.
    """

    index: str | None = None
    name: str = ""
    ids: dict[str, None] = field(default_factory=dict)
    fragments: list[str] = field(default_factory=list)
    marks: list[tuple[int, str, str]] = field(default_factory=list)
    has_text: bool = False
    has_args: bool = False
    is_sealed: bool = False
    is_tentative: bool = False
    is_given: bool = False
    shown: int | None = None
    extras: dict[str, Any] | None = None
    shown_id: str = ""
    shown_fragments: int = 0

    @property
    def id(self) -> str:
        return next(iter(self.ids), "")

    def absorb(self, piece: ToolCall) -> None:
        """Take a piece that belongs to this call; its name is no longer looked at if there is one."""
        self.name = self.name or piece.name or ""
        if piece.id:
            self.ids[piece.id] = None
        if piece.extras:
            self.extras = {**(self.extras or {}), **to_json_data(piece.extras, "extras")}
        if piece.id or piece.name:
            self.marks.append((len(self.fragments), piece.id or "", piece.name or ""))
        if piece.args is not None:
            self.fragments.append(text := _text_of(piece))
            if said := text.strip():
                self.has_text = True
                self.has_args = self.has_args or said not in _NO_ARGS

    def is_complete(self) -> bool:
        """Whether its arguments have come. Without any, more may follow."""
        if not self.has_args:
            return False
        last = next((text for fragment in reversed(self.fragments) if (text := fragment.rstrip())), "")
        # Looked at for each fragment that repeats the name or the id: most do not end an object, and cost no parsing.
        may_end = last.endswith("}") or (last.endswith('"') and self.fragments[0][:1] in ('"', ""))
        return may_end and _object_in("".join(self.fragments)) is not None


class CallAssembler:
    """A push parser: pieces of calls in, whole calls out, in the order in which they began.

    Args:
        names: The names of the tools that can be called: they tell a name that comes in fragments from two calls.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = names
        self._begun: list[_OpenCall] = []
        self._open: list[_OpenCall] = []
        self._replaced: list[_OpenCall] = []  # those of fragments that a whole message stands for
        self._given: dict[str, tuple[str, str]] = {}  # by id: what `_key` says of it
        self._last: _OpenCall | None = None  # the call that the last piece belongs to, if it is open
        self._shown = 0

    def feed(self, piece: ToolCall) -> list[WholeCall]:
        """Take one more piece; a call that comes whole, with none open, is given on at once.

        Raises:
            TypeError: If its arguments are not JSON data.
        """
        self._last = None
        if isinstance(piece, CallInMessage):
            return self._feed_whole(piece)
        if isinstance(piece.args, Mapping) and piece.index is None and not self._open:
            self._begin(piece).is_sealed = True
            return self.completed()
        call = self._call_of(piece)
        if call is not None:
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
            is_next = all(one.shown is not None for one in before) and (allowed is None or len(before) < allowed)
            # One whose id another call has may be that call again.
            is_new = call.id not in self._given and not any(
                (call.id and call.id in one.ids) or _may_be_again(call, one) for one in self._begun if one is not call
            )
            if not (call.name and call.has_args and is_next and is_new):
                return []
            call.shown = self._shown
            self._shown += 1
            call.shown_id = call.id or _new_id()
        args = "".join(call.fragments[call.shown_fragments :])
        call.shown_fragments = len(call.fragments)
        return [CallFragment(call.shown, call.name, call.shown_id, args)] if args else []

    def completed(self) -> list[WholeCall]:
        """The calls at the beginning of the line whose arguments are complete, now that something else follows them."""
        calls: list[WholeCall] = []
        while self._open and (first := self._open[0]).name and first.has_text:
            if not (first.is_sealed or first.is_complete()):
                break
            calls += self._close(self._open.pop(0), is_whole=True)
        return calls

    def flush(self, *, is_whole: bool = True) -> list[WholeCall]:
        """The calls that are still open.

        Args:
            is_whole: Whether the source has said that nothing is missing: only then is a call without arguments valid.
        """
        left, self._open = self._open, []
        with_args = {(call_id, call.name) for call in self._begun if call.has_text for call_id in call.ids}
        # A mere name beside a call of that tool may be a piece of it, under an index and an id of its own.
        have_args = {call.name for call in self._begun if call.has_args}
        calls: list[WholeCall] = []
        for call in left:
            is_said_twice = any((call_id, call.name) in with_args for call_id in call.ids)
            if call.has_text and not (call.has_args or call.is_sealed):
                # `{}` so far, which may stand for arguments that came under another id or index.
                others = [one for one in self._begun if one.has_args and not one.is_sealed and one.name == call.name]
                if any(call.ids.keys() & one.ids.keys() for one in others):
                    continue
                if any(_may_be_one(call, one) for one in others):
                    calls += self._close(call, is_whole=False)
                    continue
            if call.has_text or (call.name and not call.is_tentative and not is_said_twice):
                is_certain = call.is_sealed or have_args.isdisjoint((call.name, ""))
                calls += self._close(call, is_whole=is_whole and (is_certain or call.has_text))
        return calls

    # --- which call a piece belongs to ---

    def _begin(self, piece: ToolCall) -> _OpenCall:
        call = _OpenCall(index=None if piece.index is None else str(piece.index))  # here a number, there a string
        call.absorb(piece)
        self._open.append(call)
        self._begun.append(call)
        return call

    def _call_of(self, piece: ToolCall) -> _OpenCall | None:
        """The open call that `piece` belongs to, which may be a new one; None if it only repeats what has come.

        That is the one with its index, else with its id, else the last one, as most servers that send neither mean it.
        """
        index = None if piece.index is None else str(piece.index)
        call: _OpenCall | None
        if index is not None:
            call = self._latest(lambda one: one.index == index and piece.id in one.ids) if piece.id else None
            call = call or self._latest(lambda one: one.index == index)
            if call is None and (under_another := self._under_another_index(piece)) is not None:
                return under_another
        else:
            call = self._latest(lambda one: piece.id in one.ids) if piece.id else None
            call = call or self._latest(lambda _: True)
        if call is None:
            says_nothing = not piece.name and not piece.id and not (piece.args is not None and _text_of(piece).strip())
            return None if says_nothing or self._repeats_given(piece) else self._reserve(index)
        match self._place(piece, call):
            case "new":
                return self._reserve(index)
            case "tentative":
                new = self._reserve(index)
                new.is_tentative = True
                return new
            case "again":
                return None
            case _:
                return call

    def _reserve(self, index: str | None) -> _OpenCall:
        call = _OpenCall(index=index)
        self._open.append(call)
        self._begun.append(call)
        return call

    def _place(self, piece: ToolCall, call: _OpenCall) -> str:
        """Whether `piece` goes on with `call`, says it again, or is of a new one, which may be tentative.

        Servers that number every call 0, or none, and send no ids, still mean several calls: `f {"a": 1}` and then
        `f {"a": 2}` are two, while `f`, `{"a": 1}` and `f` again is one whose name is repeated. And servers that send
        another id with every fragment mean one: `f` as x, `{"a":` as y and `1}` as z.
        """
        if not piece.name and not piece.id:
            return "same"
        said = "" if piece.args is None else _text_of(piece).strip()
        has_same_id = bool(piece.id) and piece.id in call.ids
        has_other_id = bool(piece.id and call.ids) and not has_same_id
        if call.is_complete():
            if not said:
                if has_same_id:
                    return "again"
                return "tentative" if piece.name in (None, "", call.name) else "new"
            # Of a call with several ids, the pieces are told apart in the end.
            is_named_anew = bool(piece.name) and not (has_same_id and len(call.ids) > 1)
            return "new" if is_named_anew or has_other_id else "same"
        if not piece.name or not call.name:
            return "same"
        if piece.name != call.name:
            return self._place_by_name(piece, call, said, has_same_id=has_same_id, has_other_id=has_other_id)
        if call.has_text and not call.has_args:  # `{}` so far: all of it, or what stands for arguments to come
            if not said:
                return "tentative" if has_other_id else "again"
            is_another = has_other_id or (call.index is None and not has_same_id)
            return "new" if is_another or (said in _NO_ARGS and not has_same_id) else "same"
        return "same"

    def _place_by_name(
        self, piece: ToolCall, call: _OpenCall, said: str, *, has_same_id: bool, has_other_id: bool
    ) -> str:
        """As `_place`, for a piece with another name than that of `call`, whose arguments are not complete."""
        if not call.has_args:
            return "same" if self._lengthens_name(piece, call) else "new"
        begins_anew = has_other_id and (not said or _begins_args(said))
        # Under one index, only a call whose arguments are complete can be over; without one, a name begins a call.
        return "new" if begins_anew or (call.index is None and not has_same_id) else "same"

    def _lengthens_name(self, piece: ToolCall, call: _OpenCall) -> bool:
        """Take the next fragment of a name, if `piece` holds one: as long as no arguments have come."""
        if not piece.name or not call.name or call.has_args or {call.name, piece.name} <= set(self._names):
            return False
        longer = f"{call.name}{piece.name}"
        if not any(name.startswith(longer) for name in self._names):
            return False
        call.name = longer
        return True

    def _under_another_index(self, piece: ToolCall) -> _OpenCall | None:
        """The call that `piece` goes on with although no open call has its index: some servers count fragments."""
        said = "" if piece.args is None else _text_of(piece).strip()
        call = self._latest(lambda one: piece.id in one.ids) if piece.id else None
        call = call or self._latest(lambda _: True)
        if call is None or call.is_complete():
            return None
        if self._lengthens_name(piece, call):
            return call
        if not said:
            return None
        if piece.name and (piece.name != call.name or not (call.has_args or (call.ids and not piece.id))):
            return None
        # What cannot be the beginning of arguments goes on with those that have begun.
        return None if call.has_args and _begins_args(said) else call

    def _repeats_given(self, piece: ToolCall) -> bool:
        """Whether `piece` says no more than the name and the id of a call that was given on, as some servers repeat."""
        if piece.args is not None and _text_of(piece).strip():
            return False
        given = [call for call in self._begun if call.is_given]
        if piece.id:
            return any(piece.id in call.ids for call in given)
        index = None if piece.index is None else str(piece.index)
        return any(call.index == index and piece.name in (None, "", call.name) for call in given)

    def _latest(self, fits: Callable[[_OpenCall], bool]) -> _OpenCall | None:
        return next((call for call in reversed(self._open) if not call.is_sealed and fits(call)), None)

    def _feed_whole(self, piece: CallInMessage) -> list[WholeCall]:
        """Take a call out of a whole message. It stands for what came of it in fragments, if there were any."""
        if piece.position == 0:
            self._replaced = [call for call in self._begun if not call.is_sealed]
            self._open = [call for call in self._open if call.is_sealed]
        call: _OpenCall | None
        for call in self._replaced:
            is_it = piece.id in call.ids if piece.id and call.ids else call.name == (piece.name or "")
            if is_it:
                break
        else:  # some servers give the message's calls other ids than those of the stream
            said = _key(piece.name or "", ["" if piece.args is None else _text_of(piece)])
            call = next((one for one in self._replaced if _key(one.name, one.fragments) == said), None)
        if call is not None:
            self._replaced.remove(call)
            if call.is_given:
                return []
        new = self._begin(piece)
        new.is_sealed = True
        if call is not None:  # it may have been shown, under its id
            new.extras = {**call.extras, **(new.extras or {})} if call.extras else new.extras
            new.shown, new.shown_id = call.shown, call.shown_id
            new.ids = {**call.ids, **new.ids} if call.shown is not None else new.ids or call.ids
        return self.completed()

    # --- from a call to what it is ---

    def _close(self, call: _OpenCall, *, is_whole: bool) -> list[WholeCall]:
        """The calls that `call` comes to: as a rule one, but none if it was given on before."""
        call.is_given = True
        is_contradicted = False
        if again := [one for one in self._begun if one.has_args and _may_be_again(call, one)] if call.has_args else []:
            said, keys = _key(call.name, call.fragments), [(one, _key(one.name, one.fragments)) for one in again]
            if call.shown is None and any(key == said and one.is_given for one, key in keys):
                return []
            # With the same id and index, but other arguments: which of them the model meant cannot be told.
            is_contradicted = any(key != said and call.ids.keys() & one.ids.keys() for one, key in keys)
        calls: list[WholeCall] = []
        for number, (call_id, name, fragments) in enumerate(_split(call)):
            shown = call.shown if number == 0 else None
            text = "".join(fragments)
            parsed: dict[str, Any] | None = None
            # Of an answer that was cut off, `{}` may be what stands for arguments to come, as nothing may.
            if name and (call.has_args or is_whole or (call.is_sealed and call.has_text)):
                parsed = _arguments(fragments) if text.strip() else {}
            parsed = None if is_contradicted else parsed
            # Written anew if they could be read, so that what reads them next need not be as patient as we are.
            args = text if parsed is None else _to_json(parsed, name)
            key = (name, args if parsed is None else json.dumps(parsed, sort_keys=True))
            if call_id and shown is None and self._given.get(call_id) == key:
                continue
            if shown is not None and (not call_id or call_id in self._given):
                call_id = call.shown_id  # noqa: PLW2901 - what was shown under one id keeps it
            if not call_id or call_id in self._given:  # agents link results to calls by it
                call_id = _new_id()  # noqa: PLW2901
            self._given[call_id] = key
            calls.append(WholeCall(name, call_id, args, parsed, shown, call.extras if number == 0 else None))
        return calls


def _may_be_again(call: _OpenCall, other: _OpenCall) -> bool:
    """Whether one may be the other once more: under the same index, with the same id, or where only one has an id."""
    is_like = call is not other and call.index == other.index and call.name == other.name
    has_same_id = bool(call.ids.keys() & other.ids.keys()) or bool(call.ids) != bool(other.ids)
    return is_like and has_same_id and not (call.is_sealed or other.is_sealed)


def _may_be_one(empty: _OpenCall, other: _OpenCall) -> bool:
    """Whether `{}` and the arguments of another call of that tool may be those of one call: nothing tells them apart.

    A new id under the same index may be that of a fragment; and without an id or an index, nothing names a call.
    """
    if empty.index is not None and empty.index == other.index:
        return True
    return any(one.index is None and not one.ids for one in (empty, other))


def _key(name: str, fragments: list[str]) -> tuple[str, str]:
    """What a call says, whichever way its arguments are written: the order of an object's keys says nothing."""
    parsed = _arguments(fragments)
    return name, "".join(fragments) if parsed is None else json.dumps(parsed, sort_keys=True)


def _split(call: _OpenCall) -> Iterator[tuple[str, str, list[str]]]:
    """The calls that an open one holds, each as its id, its name and its fragments.

    Several ids may be those of several calls, or of the fragments of one. If each has arguments of its own, and they
    take turns, or make no sense together, they are several.
    """
    named = [(call_id, name) for _, call_id, name in call.marks if name]
    if not call.has_text:
        if len(call.ids) > 1:
            first = dict(reversed(named))
            yield from ((call_id, first[call_id], []) for call_id in call.ids if call_id in first)
            return
        count = len(named) if call.index is None and not call.ids and len({name for _, name in named}) == 1 else 1
        yield from [(call.id, call.name, list[str]())] * max(count, 1)
        return
    if len(call.ids) > 1:
        by_id: dict[str, list[str]] = {call_id: [] for call_id in call.ids}
        turns = [call.id]
        starts = {number: call_id for number, call_id, _ in call.marks if call_id}
        for number, fragment in enumerate(call.fragments):
            if (call_id := starts.get(number, turns[-1])) != turns[-1]:
                turns.append(call_id)
            by_id[turns[-1]].append(fragment)
        have_args = all(_object_in("".join(fragments)) is not None for fragments in by_id.values())
        take_turns = len(set(turns)) < len(turns)
        if have_args and (take_turns or _arguments(call.fragments) is None):
            names = dict(reversed(named))
            yield from ((call_id, names.get(call_id, call.name), fragments) for call_id, fragments in by_id.items())
            return
    yield call.id, call.name, call.fragments


def _arguments(fragments: list[str]) -> dict[str, Any] | None:
    """The arguments in `fragments`: pieces of one text, or each all that had come by then; None if they are broken."""
    text = "".join(fragments)
    found = _object_in(text)
    if found is not None or _is_cut_off(text.strip()):
        return found
    said = ""
    for fragment in fragments:
        said = fragment if said.strip() and fragment.startswith(said) else said + fragment
    return None if said == text else _object_in(said)


def _object_in(text: str) -> dict[str, Any] | None:
    """The object that `text` is, once or several times; None if it is not one, or blank."""
    text = text.strip()
    objects: list[dict[str, Any]] = []
    at = 0
    try:
        while at < len(text):
            value, end = _JSON.raw_decode(text, at)
            if value is None:  # what some servers say for no arguments
                value = {}
            elif isinstance(value, str) and value.lstrip().startswith("{"):  # some servers encode the arguments twice
                value = _object_in(value)
            if not isinstance(value, dict):
                return None
            if value or not objects:  # `{}` before the arguments, or after them, adds nothing
                objects.append(value)
            at = WHITESPACE.match(text, end).end()
    except (ValueError, RecursionError):
        return None
    said = [value for value in objects if value] or objects[:1]
    return said[0] if said and all(value == said[0] for value in said) else None


def _is_cut_off(text: str) -> bool:
    """Whether `text` may be the beginning of JSON, and so must not be read as anything but that.

    Example: `{"a": {"a": 1}` is one that lacks its end, though it is also `{"a": ` and then all of `{"a": 1}`.
    """
    try:
        _JSON.raw_decode(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        in_string = error.msg.startswith(("Unterminated", "Invalid"))
        return in_string or any(word.startswith(rest) for word in ("true", "false", "null", "-"))
    except (ValueError, RecursionError):
        return True
    return False


def _begins_args(said: str) -> bool:
    """Whether `said` can be the beginning of arguments: of an object, or of one that is encoded twice."""
    return said.startswith(("{", '"{')) or said in _NO_ARGS


def _text_of(piece: ToolCall) -> str:
    """The arguments of a piece as text: JSON other than an object, as a server may send it, too."""
    return piece.args if isinstance(piece.args, str) else _to_json(piece.args, piece.name)


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


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
