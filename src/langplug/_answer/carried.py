"""What an answer brings that its server must get back as it came, put together from the pieces of a stream.

`_messages/carried.py` says where it travels, and writes it into the next request.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langplug._answer.json_data import to_json_data
from langplug._answer.tool_calls import WholeCall
from langplug._messages.carried import OUTPUT_ITEMS
from langplug._parts import Finish, Reasoning


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(Finish):
    """What a reader says as an answer comes: the fields of its message that are to go back, as far as they are here."""

    fields: Mapping[str, Any] = field(default_factory=dict)


_FIELDS = frozenset(
    {"reasoning_details", "thinking_blocks", "reasoning_items", "extra_content", "provider_specific_fields"}
    | {OUTPUT_ITEMS}
)
"""Of OpenRouter; of LiteLLM, for Claude and for OpenAI; of Gemini's door; of LiteLLM; of the Responses API."""


def is_carried_field(name: str) -> bool:
    """Whether the field `name` of a message goes back as it came.

    Not each unknown field: Groq, OpenAI and Mistral refuse what they do not know, some of which they send themselves.
    """
    return name in _FIELDS or _is_sealed(name)


def _is_sealed(name: str) -> bool:
    """Whether it is the name of what its server alone can read, in either style: `thought_signature` or camel case."""
    name = name.casefold()
    return "signature" in name or "encrypted" in name


def add_fields(known: dict[str, Any], fields: Mapping[str, Any], *, is_whole: bool = False) -> None:
    """Add to `known` what a message, or the next delta, holds to be carried.

    Args:
        known: What has come so far.
        fields: The fields, with their values.
        is_whole: Whether it is the whole message, which stands for what its deltas have brought.
    """
    for name, value in fields.items():
        with suppress(TypeError):  # nested beyond measure: it is not worth the answer
            plain = to_json_data(value, name)
            known[name] = plain if is_whole else _joined(name, known.get(name), plain)


_TEXTS = frozenset({"text", "summary", "thinking", "reasoning"})
"""Members of a block that come in pieces, besides what is sealed; others come whole, with one of the pieces."""


def _joined(name: str, known: Any, more: Any) -> Any:
    """A field's value so far, and its next piece, as one."""
    if isinstance(known, dict) and isinstance(more, dict):
        return known | {key: _joined(key, known.get(key), value) for key, value in more.items()}
    if isinstance(known, list) and isinstance(more, list):
        return _joined_blocks(known, more, needs_index=name == "reasoning_details")
    # What is sealed comes in pieces, or is said anew with each piece of the text.
    is_next = name in _TEXTS or (known != more and (name == "data" or _is_sealed(name)))
    if is_next and isinstance(known, str) and isinstance(more, str):
        return known + more
    return known if more in (None, "") and known is not None else more


def _joined_blocks(known: list[Any], more: list[Any], *, needs_index: bool) -> list[Any]:
    """The blocks so far and those of the next delta: pieces of one are one, as in an answer that is not streamed.

    What a delta says is a piece of a block that came before if it has its `index` and type, and no other id; without
    numbers, if the last block is of the same type, and has no signature yet, which ends a block.
    """
    joined = list(known)
    for number, block in enumerate(more):
        place = len(joined)
        if isinstance(block, dict) and block.get("index") is not None:
            same = [n for n, one in enumerate(known) if isinstance(one, dict) and _is_piece_of(one, block)]
            place = same[-1] if same else place
        elif isinstance(block, dict) and not (number or needs_index) and known and _is_open(known[-1], block):
            place = len(known) - 1
        if place < len(joined):
            joined[place] = _joined("", joined[place], block)
        else:
            joined.append(block)
    return joined


def _is_piece_of(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    """Whether a numbered piece continues the block; some gateways give the same number to several blocks."""
    if (block.get("index"), block.get("type")) != (piece["index"], piece.get("type")):
        return False
    if block.get("id") and piece.get("id") and block["id"] != piece["id"]:
        return False
    signed = [one.get("signature") for one in (block, piece)]
    return not (all(signed) and signed[0] != signed[1] and any(piece.get(name) for name in _TEXTS))


def _is_open(block: Any, piece: Mapping[str, Any]) -> bool:
    is_same = isinstance(block, dict) and block.get("type") == piece.get("type") and not (block.keys() & {"index"})
    if not is_same or block.get("data") or piece.get("data"):
        return False
    if block.get("id") and piece.get("id") and block["id"] != piece["id"]:
        return False
    held = [block, *(one for one in block.values() if isinstance(one, list) for one in one if isinstance(one, dict))]
    return not any(one.get("signature") for one in held)


def carried_record(pieces: Sequence[Any], fields: Mapping[str, Any], origin: str) -> dict[str, Any] | None:
    """What the message of `pieces` carries; None for most.

    Args:
        pieces: Those of the whole answer.
        fields: The fields of its message that are carried.
        origin: The server that sent it, to which alone it goes back.
    """
    thoughts: list[Reasoning] = []
    places: list[dict[str, Any]] = []
    calls: dict[str, Any] = {}
    text = blocks = 0
    called: list[str] = []
    before: Any = None
    for piece in pieces:
        if isinstance(piece, WholeCall):
            called.append(piece.id)
            if piece.extras:
                calls[piece.id] = dict(piece.extras)
        elif isinstance(piece, Reasoning):
            last, new = thoughts[-1].extras or {} if thoughts else {}, piece.extras or {}
            # A signature ends a block, though some sources say it anew with each piece; what is encrypted is one.
            is_signed = "signature" in last and bool(piece.text or "signature" in new)
            is_other = is_signed and new.get("signature") != last["signature"]
            if not thoughts or not isinstance(before, Reasoning) or is_other or "data" in {**last, **new}:
                thoughts.append(piece)
                places.append({"text": text, "blocks": blocks, "calls": [*called]})
            else:
                thoughts[-1] = Reasoning(thoughts[-1].text + piece.text, {**last, **new} or None)
        elif isinstance(piece, str):
            text += len(piece)
        elif isinstance(piece, dict):
            is_text = piece.get("type") == "text"  # one with sources
            text += len(piece.get("text") or "") if is_text else 0
            blocks += not is_text
        before = piece
    # Fields that are carried hold the reasoning as the server has it, signatures included.
    signed = [
        {"text": one.text, "extras": dict(one.extras), "after": place}
        for one, place in zip(thoughts, places, strict=True)
        if one.extras and not fields
    ]
    if not (fields or calls or signed):
        return None
    # Of Databricks' blocks, which are carried whole. One without text is not among the pieces: they stand first then.
    in_content = places if len(fields.get("content") or ()) == len(places) else []
    parts = {"message": dict(fields), "calls": calls, "reasoning": signed, "places": in_content}
    return {"origin": origin, **{name: part for name, part in parts.items() if part}}
