"""The kinds of content blocks: for each, which models may be given it, and how it is sent."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langplug import ChatModel, Request
from langplug._messages.blocks import BLOCK_KINDS, modality_of

URL = "https://e.example/a"
PDF = "data:application/pdf;base64,QUJD"
LINK: dict[str, Any] = {"url": URL}

SENT: dict[str, tuple[dict[str, Any], Any]] = {
    "text": ({"text": "a"}, "a"),
    "text-plain": ({"text": "a", "mime_type": "text/plain"}, "a"),
    "json": ({"json": {"a": 1}}, '{"a": 1}'),
    "image": ({"url": URL}, [{"type": "image_url", "image_url": LINK}]),
    "image_url": ({"image_url": URL}, [{"type": "image_url", "image_url": LINK}]),
    "input_image": (
        {"image_url": URL, "detail": "low"},
        [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}],
    ),
    "audio": (
        {"base64": "QUJD", "mime_type": "audio/wav"},
        [{"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}],
    ),
    "input_audio": (
        {"input_audio": {"data": "QUJD", "format": "wav"}},
        [{"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}],
    ),
    "audio_url": ({"audio_url": {"url": URL}}, [{"type": "audio_url", "audio_url": LINK}]),
    "video": ({"url": URL}, [{"type": "video_url", "video_url": LINK}]),
    "video_url": ({"video_url": {"url": URL}}, [{"type": "video_url", "video_url": LINK}]),
    "input_video": ({"video_url": URL}, [{"type": "video_url", "video_url": LINK}]),
    "file": (
        {"base64": "QUJD", "mime_type": "application/pdf", "filename": "a.pdf"},
        [{"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}],
    ),
    "input_file": ({"file_data": PDF}, [{"type": "file", "file": {"filename": "file.pdf", "file_data": PDF}}]),
    "document": (
        {"title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}},
        [{"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}],
    ),
    "media": (
        {"mime_type": "application/pdf", "data": "QUJD"},
        [{"type": "file", "file": {"filename": "file.pdf", "file_data": PDF}}],
    ),
    "non_standard": ({"value": {"type": "thinking", "thinking": "so"}}, ""),
    "refusal": ({"refusal": "no"}, "no"),
    "input_text": ({"text": "a"}, "a"),
    "output_text": ({"text": "a"}, "a"),
    "tool_result": ({"tool_use_id": "1", "content": "a"}, "a"),
    "tool_use": ({"id": "1", "name": "add", "input": {}}, ""),
    "function_call": ({"call_id": "1", "name": "add", "arguments": "{}"}, ""),
    **{
        name: ({}, "")
        for name in (
            *("reasoning", "reasoning_content", "thinking", "redacted_thinking", "citations"),
            *("tool_call", "invalid_tool_call", "tool_call_chunk", "input_json_delta"),
            *("server_tool_call", "server_tool_call_chunk", "server_tool_result"),
        )
    },
}
"""One block of each kind, without its type, and the content that it is sent as."""

OTHER_FORMS: list[tuple[dict[str, Any], str, Any]] = [
    ({"type": "input_image", "image_url": {"url": URL}}, "image", [{"type": "image_url", "image_url": LINK}]),
    ({"type": "input_video", "input_video": LINK}, "video", [{"type": "video_url", "video_url": LINK}]),
    ({"type": "input_file", "file_id": "f1"}, "file", [{"type": "file", "file": {"file_id": "f1"}}]),
    ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}, "file", "a"),
    ({"type": "document", "source": {"type": "content", "content": "a"}}, "file", "a"),
    (
        {"type": "document", "title": "T", "context": "c", "source": {"type": "text", "data": "a"}},
        "file",
        "a",
    ),
    (
        {
            "type": "document",
            "title": "T",
            "citations": {"enabled": True},
            "source": {"type": "content", "content": "a"},
        },
        "file",
        "a",
    ),
    (
        {"type": "document", "source": {"type": "file", "file_id": "f1"}},
        "file",
        [{"type": "file", "file": {"file_id": "f1"}}],
    ),
    (
        {"type": "media", "mime_type": "image/png", "data": "QUJD"},
        "image",
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}],
    ),
    (
        {"type": "media", "mime_type": "audio/mpeg", "data": "QUJD"},
        "audio",
        [{"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}}],
    ),
    (
        {"type": "media", "mime_type": "video/mp4", "file_uri": URL},
        "video",
        [{"type": "video_url", "video_url": LINK}],
    ),
]


class Mirror(ChatModel):
    """Sends the conversation on as OpenAI messages."""

    sent: Any

    def respond(self, request: Request, /) -> str:
        self.sent.extend(request.openai_messages())
        return "ok"


def message_with(block: dict[str, Any]) -> BaseMessage:
    """A message that may hold the block."""
    only_in = BLOCK_KINDS[block["type"]].only_in
    return AIMessage([block]) if only_in == "assistant" else HumanMessage([block])


def taken(block: dict[str, Any], *accepted: str) -> Any:
    """The content that a model sends on, which accepts this alone."""
    sent: list[dict[str, Any]] = []
    mirror = type("ChatMirror", (Mirror,), {"accepts": frozenset(accepted), "tool_calling": "native"})
    mirror(sent=sent).invoke([HumanMessage("?"), message_with(block)])
    return sent[1]["content"]


def test_there_is_an_example_of_every_kind() -> None:
    """A kind that is new is tested as well."""
    assert set(SENT) == set(BLOCK_KINDS)


@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_what_a_model_may_be_given_can_be_sent(kind: str) -> None:
    """A model that accepts a kind's modality is given it, and it has a form for OpenAI's wire."""
    block, content = SENT[kind]
    assert content == taken({"type": kind, **block}, modality_of({"type": kind, **block}))


@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_what_a_model_does_not_accept_is_refused(kind: str) -> None:
    """Any kind but text is refused by a model that accepts nothing else, and the error says what to declare."""
    block = {"type": kind, **SENT[kind][0]}
    modality = modality_of(block)
    if modality == "text":
        assert SENT[kind][1] == taken(block)
        return
    others = {"image", "audio", "video", "file", "non_standard"} - {modality}
    if BLOCK_KINDS[kind].only_in == "assistant":  # a model's own, which another model can do without
        assert taken(block, *others) == ""
        return
    with pytest.raises(ValueError, match=rf"not content of type .*`accepts = frozenset\(\{{{modality!r}\}}\)`"):
        taken(block, *others)


@pytest.mark.parametrize(
    ("kind", "modality"),
    [
        ("input_image", "image"),
        ("image_url", "image"),
        ("audio_url", "audio"),
        ("input_audio", "audio"),
        ("input_video", "video"),
        ("video_url", "video"),
        ("document", "file"),
        ("input_file", "file"),
        ("media", "file"),
    ],
)
def test_providers_own_blocks_hold_a_modality(kind: str, modality: str) -> None:
    """What one provider calls otherwise is an image, audio, a video or a file all the same."""
    assert modality == modality_of({"type": kind, **SENT[kind][0]})


@pytest.mark.parametrize(("block", "modality", "content"), OTHER_FORMS)
def test_other_forms_of_a_kind(block: dict[str, Any], modality: str, content: Any) -> None:
    """A kind that has several forms is understood in each of them."""
    assert content == taken(block, modality)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"type": "document", "source": {"type": "url", "url": URL}}, "'base64'"),
        ({"type": "document", "title": "a"}, "source is missing"),
        ({"type": "input_file", "file_url": URL}, "file_data is missing"),
        ({"type": "input_image", "file_id": "f1"}, "image_url is None"),
        ({"type": "media", "mime_type": "audio/wav", "file_uri": URL}, "'base64'"),
    ],
)
def test_what_openai_has_no_place_for_is_named(block: dict[str, Any], says: str) -> None:
    """A form without a counterpart is refused with its path, and never sent as something else."""
    with pytest.raises(ValueError, match=rf"\$\.messages\[1\]\.content\[0\].*{says}"):
        taken(block, modality_of(block))


@pytest.mark.parametrize("block", [{"text": "a"}, {"data": "x"}, {"type": None}, {"type": 3}])
def test_a_block_without_a_type_is_refused(block: Any) -> None:
    """A block without a type is an error that says so, and does not advise to declare anything."""
    with pytest.raises(ValueError, match=r"\$\.messages\[0\]\.content\[1\] is a block without a 'type'") as caught:
        Mirror(sent=[]).invoke([HumanMessage(["a", block])])
    assert "accepts" not in str(caught.value)
