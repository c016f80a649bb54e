"""Group L of the contract: standard content, `output_version="v1"`."""

from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from tests.callers import CALLERS, TOOLS, Turn, call, caller
from tests.echo_models import PIXEL, MakeModel
from tests.paths import PATHS, Path, achunks, chunks

from langplug import Reasoning
from langplug.models import ChatScripted

SAID = {
    "one two": [("text", "one two")],
    "/think one two": [("reasoning", "hmm"), ("text", "one two")],
    "/show one two": [("text", "one two"), ("image", PIXEL)],
    "/spell ab": [("text", "ab")],
    "": [],
}
"""Prompts, and the blocks of the answers."""


def shown(blocks: list[Any]) -> list[tuple[str, str]]:
    """The blocks by their type and what they hold."""
    return [(block["type"], block.get("text") or block.get("reasoning") or block.get("base64")) for block in blocks]


def test_l01_content_is_typed_blocks(make_model: MakeModel, call: Path) -> None:
    """With `output_version="v1"` content is typed blocks, one for each run of text, and the flag says so."""
    for prompt, blocks in SAID.items():
        answered = call(make_model(output_version="v1"), prompt)
        assert blocks == shown(list(answered.message.content))
        assert "".join(text for kind, text in blocks if kind == "text") == answered.text == answered.message.text
        assert "v1" == answered.message.response_metadata["output_version"]


@pytest.mark.parametrize("read", [chunks, achunks], ids=["stream", "astream"])
def test_l01_blocks_are_numbered(make_model: MakeModel, read: Any) -> None:
    """Each chunk holds blocks with the number of the block that they belong to."""
    given = read(make_model(output_version="v1"), "/think one two")
    numbered = [(block["type"], block["index"]) for chunk in given for block in chunk.content]
    kinds = {kind: {number for known, number in numbered if known == kind} for kind, _ in numbered}
    assert [1, 1] == [len(numbers) for numbers in kinds.values()]
    assert ["reasoning", "text"] == list(kinds)
    assert kinds["reasoning"] != kinds["text"]
    assert {"v1"} == {chunk.response_metadata["output_version"] for chunk in given}


def test_l01_the_hook_gives_blocks_by_itself(make_model: MakeModel) -> None:
    """`_stream`, which version 3 of the events reads, gives blocks and the flag without langchain-core's help."""
    messages = [chunk.message for chunk in make_model(output_version="v1")._stream([HumanMessage("/think one two")])]
    assert {"v1"} == {message.response_metadata["output_version"] for message in messages}
    assert [("reasoning", "hmm"), ("text", "one two")] == shown(reduce(add, messages).content)


def test_l01_blocks_keep_the_order_in_which_they_came() -> None:
    """Text, an image and text again stay three blocks in this order, on each path."""
    image = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    model = ChatScripted(replies=[["one ", "two", image, "three"]], when_exhausted="repeat", output_version="v1")
    answers = [shown(list(path(model, "?").message.content)) for path in PATHS.values()]
    assert [[("text", "one two"), ("image", PIXEL), ("text", "three")]] * len(PATHS) == answers


def test_l01_there_may_be_many_blocks() -> None:
    """However often an answer goes from text to something else and back, no block is lost, in either version."""
    image = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    parts = [part for number in range(30) for part in (f"text {number}", image)]
    blocks = [one for number in range(30) for one in (("text", f"text {number}"), ("image", PIXEL))]
    for version in (None, "v1"):
        model = ChatScripted(replies=[parts], when_exhausted="repeat", output_version=version)
        answers = [shown(path(model, "?").message.content_blocks) for path in PATHS.values()]
        assert [blocks] * len(PATHS) == answers


TWO_CALLS: Turn = [Reasoning("hmm"), "Let me see:", call("add", a=1, b=2), call("add", a=3, b=4)]


@pytest.mark.parametrize("read", [chunks, achunks], ids=["stream", "astream"])
@pytest.mark.parametrize("name", list(CALLERS))
def test_l02_blocks_with_calls_are_numbered_apart(name: str, read: Any) -> None:
    """No block of a stream has the number of another."""
    model, _ = caller(CALLERS[name], TWO_CALLS, output_version="v1")
    blocks = [block for chunk in read(model.bind_tools(TOOLS), "?") for block in chunk.content]
    kinds: dict[int, set[str]] = {}
    for block in blocks:
        kinds.setdefault(block["index"], set()).add(block["type"])
    assert [{"reasoning"}, {"text"}, {"tool_call_chunk"}, {"tool_call_chunk"}] == list(kinds.values())


@pytest.mark.parametrize("given", ["message", "blocks"])
def test_l_content_that_is_handed_on_is_read_either_way(call: Path, given: str) -> None:
    """An author may hand on standard content and plain content alike; the model's own version says what comes out."""
    blocks: list[Any] = [{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "one"}]
    parts = blocks if given == "blocks" else [AIMessage(blocks, response_metadata={"output_version": "v1"})]
    plain = call(ChatScripted(replies=[parts]), "?").message
    standard = call(ChatScripted(replies=[parts], output_version="v1"), "?").message
    assert [("reasoning", "hmm"), ("text", "one")] == shown(plain.content_blocks) == shown(list(standard.content))
