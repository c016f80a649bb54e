"""Images, audio, sources and other content of a server: standard blocks, whole and streamed; nothing is lost."""

import logging
from functools import partial
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from tests.models.endpoint.exact_server import always, completion, exact_server, stream
from tests.paths import PATHS, Path

from langplug.models import ChatEndpoint

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
IMAGE_BLOCK = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
LINK = {"type": "image", "url": "https://e.example/a.png"}
SOUND = {"id": "a1", "data": "UklGRg==", "transcript": "Hi there", "expires_at": 9}
SOUND_BLOCK = {
    "type": "audio",
    "base64": "UklGRg==",
    "mime_type": "audio/wav",
    "id": "a1",
    "extras": {"transcript": "Hi there", "expires_at": 9},
}
SOURCE = {
    "type": "url_citation",
    "url_citation": {"url": "https://e.example", "title": "E", "start_index": 0, "end_index": 2, "content": "said"},
}
CITATION = {
    "type": "citation", "url": "https://e.example", "title": "E", "cited_text": "said", "start_index": 0, "end_index": 2
}  # fmt: skip
UNKNOWN = {"type": "x_card", "card": {"a": [1]}}

# What is sent whole, in pieces, and the blocks that come of it.
KINDS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "an image": ({"content": None, "images": [IMAGE]}, [{"images": [IMAGE]}], [IMAGE_BLOCK]),
    "images of other forms": (
        {
            "content": "",
            "images": ["https://e.example/a.png", {"b64_json": "iVBORw=="}, {"url": "data:image/webp;base64,U"}],
        },
        [
            {"images": ["https://e.example/a.png"]},
            {"images": [{"b64_json": "iVBORw=="}]},
            {"images": [{"image_url": "data:image/webp;base64,U"}]},
        ],
        [LINK, {**IMAGE_BLOCK, "base64": "iVBORw=="}, {**IMAGE_BLOCK, "base64": "U", "mime_type": "image/webp"}],
    ),
    "a numbered image, said twice": (
        {"content": "", "images": [{**IMAGE, "index": 0}]},
        [{"images": [{**IMAGE, "index": 0}]}, {"images": [{**IMAGE, "index": 0}]}],
        [IMAGE_BLOCK],
    ),
    "an image, made twice": ({"images": [IMAGE, IMAGE]}, [{"images": [IMAGE]}] * 2, [IMAGE_BLOCK] * 2),
    "an image in a part": ({"content": [IMAGE]}, [{"content": [IMAGE]}], [IMAGE_BLOCK]),
    "audio": (
        {"content": None, "audio": SOUND},
        [
            {"audio": {"id": "a1", "transcript": "Hi "}},
            {"audio": {"data": "UklG"}},
            {"audio": {"data": "Rg==", "transcript": "there"}},
            {"audio": {"expires_at": 9}},
        ],
        [SOUND_BLOCK],
    ),
    "audio whose pieces are padded": (
        {"content": None, "audio": {"data": "AAECAw=="}},
        [{"audio": {"data": "AA=="}}, {"audio": {"data": "AQI="}}, {"audio": {"data": "Aw=="}}],
        [{"type": "audio", "base64": "AAECAw==", "mime_type": "audio/pcm"}],
    ),
    "a reasoning summary": (
        {
            "content": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "First. "}]},
                {"type": "text", "text": "4"},
            ]
        },
        [
            {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "First. "}]}]},
            {"content": "4"},
        ],
        [{"type": "reasoning", "reasoning": "First. "}, {"type": "text", "text": "4"}],
    ),
    "reasoning as an object": (
        {"content": "4", "reasoning": {"summary": "First."}},
        [{"reasoning": {"summary": [{"text": "First."}]}}, {"content": "4"}],
        [{"type": "reasoning", "reasoning": "First."}, {"type": "text", "text": "4"}],
    ),
    "reasoning as a list": (
        {"content": "4", "reasoning": [{"type": "reasoning.text", "text": "Fir"}, {"text": "st."}]},
        [{"reasoning": [{"text": "Fir"}]}, {"reasoning_content": ["st."]}, {"content": "4"}],
        [{"type": "reasoning", "reasoning": "First."}, {"type": "text", "text": "4"}],
    ),
    "details that are texts": (
        {"content": "4", "reasoning_details": ["First."]},
        [{"reasoning_details": "First."}, {"content": "4"}],
        [{"type": "reasoning", "reasoning": "First."}, {"type": "text", "text": "4"}],
    ),
    "details that are an object": (
        {"content": "4", "thinking_blocks": {"type": "thinking", "thinking": "First."}},
        [{"thinking_blocks": {"type": "thinking", "thinking": "First."}}, {"content": "4"}],
        [{"type": "reasoning", "reasoning": "First."}, {"type": "text", "text": "4"}],
    ),
    "details that are nothing": (
        {"content": "4", "thinking_blocks": [None, 3]},
        [{"reasoning_details": [None, True]}, {"content": "4"}],
        [{"type": "text", "text": "4"}],
    ),
    "text in an object": (
        {"content": {"text": "Hi"}},
        [{"content": {"text": "H"}}, {"content": {"type": "text", "text": "i"}}],
        [{"type": "text", "text": "Hi"}],
    ),
    "text by another name": (
        {"content": [{"type": "output_text", "text": "Hi"}]},
        [{"content": [{"type": "output_text", "text": "Hi"}]}],
        [{"type": "text", "text": "Hi"}],
    ),
    "an unknown part": ({"content": [UNKNOWN]}, [{"content": [UNKNOWN]}], [{"type": "non_standard", "value": UNKNOWN}]),
    "an object of its own": (
        {"content": {"a": 1}},
        [{"content": {"a": 1}}],
        [{"type": "non_standard", "value": {"a": 1}}],
    ),
}


def endpoint(url: str, **settings: Any) -> ChatEndpoint:
    return ChatEndpoint(model="m", base_url=url, max_retries=0, **settings)


def plain(blocks: Any) -> list[dict[str, Any]]:
    """The blocks without the numbers by which chunks are added up."""
    return [{key: value for key, value in block.items() if key != "index"} for block in blocks]


@pytest.fixture(params=list(PATHS), name="call")
def path_of(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_each_kind_becomes_a_standard_block(name: str, streams: bool, version: Any, call: Path) -> None:
    """What a model made besides text is a standard block, on each path and in both kinds of content."""
    whole, pieces, expected = KINDS[name]
    with exact_server(lambda _: stream(*pieces) if streams else completion(whole)) as server:
        message = call(endpoint(server.url, output_version=version), "?").message
    assert expected == plain(message.content_blocks)
    assert version is None or expected == plain(message.content)


def cited_by(message: AIMessage) -> list[dict[str, Any]]:
    return [note for block in message.content_blocks for note in block.get("annotations", ())]  # type: ignore[attr-defined] # of text blocks


URLS = ["https://a.example", "https://b.example"]
OF_URLS = [{"type": "citation", "url": url} for url in URLS]

SOURCES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]] = {
    "annotations": ({"annotations": [SOURCE]}, [{"annotations": [SOURCE]}], {}, [CITATION]),
    "annotations one by one": (
        {"annotations": [SOURCE, "https://a.example"]},
        [{"annotations": [SOURCE]}, {"annotations": ["https://a.example"]}],
        {},
        [CITATION, OF_URLS[0]],
    ),
    "citations beside the message": ({}, [], {"citations": URLS}, OF_URLS),
    "both": (
        {"annotations": [SOURCE]},
        [{"annotations": [SOURCE]}],
        {"citations": ["https://e.example", *URLS]},
        [CITATION, *OF_URLS],
    ),
    "citations of the message": ({"citations": URLS}, [{"citations": URLS}], {}, OF_URLS),
    "a file": (
        {"annotations": [{"type": "file", "file": {"hash": "h"}}]},
        [{"annotations": [{"type": "file", "file": {"hash": "h"}}]}],
        {},
        [{"type": "non_standard_annotation", "value": {"type": "file", "file": {"hash": "h"}}}],
    ),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_sources_become_citations(name: str, streams: bool, version: Any, call: Path) -> None:
    """The sources of a text are its annotations, once, and the text stays what it was."""
    fields, deltas, beside, expected = SOURCES[name]
    pieces = [{"content": "H"}, {"content": "i"}, *deltas]
    with exact_server(
        lambda _: stream(*pieces, **beside) if streams else completion({"content": "Hi", **fields}, **beside)
    ) as server:
        message = call(endpoint(server.url, output_version=version), "?").message
    assert expected == cited_by(message)
    assert "Hi" == message.text
    if version == "v1" or not streams:
        assert [{"type": "text", "text": "Hi", "annotations": expected}] == plain(message.content_blocks)


def test_text_goes_on_after_a_citation(call: Path) -> None:
    """Sources that come between two pieces of a text belong to that text."""
    pieces = [{"content": "H"}, {"annotations": [SOURCE]}, {"content": "i"}, {"annotations": ["https://a.example"]}]
    with exact_server(lambda _: stream(*pieces)) as server:
        message = call(endpoint(server.url, output_version="v1"), "?").message
        assert [{"type": "text", "text": "Hi", "annotations": [CITATION, OF_URLS[0]]}] == plain(message.content)
        message = call(endpoint(server.url), "?").message
        assert ("Hi", [CITATION, OF_URLS[0]]) == (message.text, cited_by(message))


def with_sources(text: str) -> list[Any]:
    """Answers of `text` with its sources, in each place where servers have them."""
    part = {"content": [{"type": "text", "text": text, "annotations": [SOURCE]}]}
    return [
        completion({"content": text}, citations=URLS),
        completion({"content": text, "annotations": [SOURCE]}),
        completion(part),
        stream({"content": text}, citations=URLS),
        stream(part),
        stream({"content": text[:9]}, {"content": [{"type": "text", "text": text[9:], "annotations": [SOURCE]}]}),
    ]


@pytest.mark.parametrize("place", range(6))
def test_text_with_sources_passes_every_filter(place: int, call: Path) -> None:
    """Reasoning, stop strings and JSON are read out of a text that has sources as out of any other."""
    with exact_server(lambda _: with_sources("<think>hm</think>\none STOP two")[place]) as server:
        message = call(endpoint(server.url, stop=["STOP"], include_stop=False), "?").message
        assert ("one ", "hm") == (message.text, message.additional_kwargs["reasoning_content"])
    with exact_server(lambda _: with_sources('<think>{"city": "no"}</think>\n{"city": "O"}')[place]) as server:
        schema = {"title": "P", "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        assert {"city": "O"} == endpoint(server.url).with_structured_output(schema).invoke("?")
        assert 1 == len(server.bodies)


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("version", [None, "v1"])
def test_calls_are_read_out_of_text_with_sources(place: int, version: Any, call: Path) -> None:
    """A call in a text that has sources is a call, and its text is gone."""
    text = 'Sure, as told.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    tool = {"type": "function", "function": {"name": "add", "description": "d", "parameters": schema}}
    with exact_server(lambda _: with_sources(text)[place]) as server:
        made = endpoint(server.url, tool_calling="prompted", tool_format="hermes", output_version=version)
        message = call(made.bind_tools([tool]), "?").message
    assert ("Sure, as told.", [("add", {"a": 1})]) == (
        message.text,
        [(one["name"], one["args"]) for one in message.tool_calls],
    )
    assert cited_by(message)


def test_unknown_fields_are_kept_and_noted(call: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A field of a message that langplug does not know is in `response_metadata`, and in the log, once."""
    fields = {"x_tools": [{"a": 1}], "x_empty": [], "x_none": None}
    for streams in (False, True):
        with (
            exact_server(
                partial(
                    always,
                    (
                        stream({"content": "H", **fields}, {"content": "i"})
                        if streams
                        else completion({"content": "Hi", **fields})
                    ),
                )
            ) as server,
            caplog.at_level(logging.INFO, "langplug"),
        ):
            message = call(endpoint(server.url), "?").message
        assert {"x_tools": [{"a": 1}]} == message.response_metadata["unread"]
        assert "Hi" == message.text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["Hel", "lo"], "Hello"),
        (["same", "same", "same"], "same"),
        ([[1], [2, 3]], [1, 2, 3]),
        ([{"a": "x", "n": 1}, {"a": "y", "n": 2}], {"a": "xy", "n": 2}),
        ([1, 2], 2),
    ],
)
def test_pieces_of_unknown_fields_are_joined(values: list[Any], expected: Any, call: Path) -> None:
    """Text, lists and objects of an unknown field add up over the deltas; of other values, the last one counts."""
    with exact_server(lambda _: stream(*({"x_field": value} for value in values), {"content": "Hi"})) as server:
        assert {"x_field": expected} == call(endpoint(server.url), "?").message.response_metadata["unread"]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_media_go_back_in_their_field(streams: bool, version: Any) -> None:
    """An image goes back to its server in `images`, audio by its id; neither is sent as content of the assistant's."""
    for field, given, expected in (
        ("images", [IMAGE], [IMAGE]),
        ("audio", SOUND, {"id": "a1"}),
    ):
        message = {"content": "See:", field: given}
        with exact_server(partial(always, stream(message) if streams else completion(message))) as server:
            model = endpoint(server.url, output_version=version)
            said = model.invoke("?") if not streams else sum_of(model)
            model.invoke([HumanMessage("?"), said, HumanMessage("and?")])
            turn = server.bodies[-1]["messages"][1]
        assert {"role": "assistant", "content": "See:", field: expected} == turn


def sum_of(model: ChatEndpoint) -> Any:
    first, *rest = model.stream("?")
    return first + rest


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["one two ", "three four"], "one two three four"),
        (["one two ", "three ", "four five"], "one two three four five"),
    ],
)
def test_a_last_delta_that_says_all_again_says_nothing(deltas: list[str], text: str, call: Path) -> None:
    """A finish chunk whose delta repeats the whole text adds nothing; one that is merely as long is text."""
    chunks = stream(*({"content": one} for one in deltas))
    for last, expected in ((text, text), (text[::-1], text + text[::-1])):
        chunks[-1]["choices"][0]["delta"] = {"content": last}
        with exact_server(lambda _: chunks) as server:
            assert expected == call(endpoint(server.url), "?").text


@pytest.mark.parametrize("index", ["0", "", None, 0])
@pytest.mark.parametrize("streams", [False, True])
def test_the_first_answer_may_be_numbered_as_text(index: Any, streams: bool, call: Path) -> None:
    """The number of the only answer may be text, or nothing."""
    chunks = stream({"content": "H"}, {"content": "i"}) if streams else completion({"content": "Hi"})
    for one in chunks if isinstance(chunks, list) else [chunks]:
        for choice in one.get("choices", ()):
            choice["index"] = index
    with exact_server(lambda _: chunks) as server:
        assert "Hi" == call(endpoint(server.url), "?").text
