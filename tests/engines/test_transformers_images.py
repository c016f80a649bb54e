"""`ChatTransformers` with models of text and images: tiny random ones of three families, on the real engine."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("PIL")

from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image
from tests.engines.tiny_llama import tiny_llama, usage_of
from tests.engines.tiny_vision import FAMILIES, tiny_vision

from langplug.models import ChatTransformers

QUESTION = "What is on it?"
TOKENS = 24


def picture(color: tuple[int, int, int] = (200, 10, 10), size: tuple[int, int] = (40, 30)) -> Image.Image:
    """An image of one color with a dot in it."""
    made = Image.new("RGB", size, color)
    made.putpixel((size[0] // 2, size[1] // 2), (0, 0, 0))
    return made


def block(image: Image.Image) -> dict[str, Any]:
    """LangChain's block of an image."""
    file = BytesIO()
    image.save(file, "PNG")
    return {"type": "image", "base64": base64.b64encode(file.getvalue()).decode(), "mime_type": "image/png"}


def about(*images: Image.Image, text: str = QUESTION) -> list[HumanMessage]:
    """A question about images."""
    return [HumanMessage([*map(block, images), {"type": "text", "text": text}])]


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request: pytest.FixtureRequest) -> Iterator[ChatTransformers]:
    model = ChatTransformers(model=str(tiny_vision(request.param)), temperature=0, max_tokens=TOKENS)
    model.engine.load()
    yield model
    model.close()


def generated(model: ChatTransformers, talk: list[dict[str, Any]]) -> str:
    """What transformers' own processor and `generate` answer; `talk` has images as transformers wants them."""
    weights = model.engine.load()
    inputs = weights.processor.apply_chat_template(
        talk, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    made = weights.network.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    answer = made[0, inputs["input_ids"].shape[1] :].tolist()
    return weights.text_of([one for one in answer if one not in weights.stop_ids])


def test_the_answer_is_what_generate_gives(model: ChatTransformers) -> None:
    """About one image, two images or none, an answer is token by token that of transformers' own `generate`."""
    red, blue = picture(), picture((10, 10, 200), (64, 24))
    for images in ([red], [blue], [red, blue], []):
        parts: list[dict[str, Any]] = [{"type": "image", "image": one} for one in images]
        parts.append({"type": "text", "text": QUESTION})
        system = {"role": "system", "content": [{"type": "text", "text": "Look."}]}
        expected = generated(model, [system, {"role": "user", "content": parts}])
        assert expected == model.invoke([SystemMessage("Look."), *about(*images)]).text
    assert model.invoke(about(red)).text != model.invoke(about(blue)).text


def test_neighbours(model: ChatTransformers) -> None:
    """Questions about images and of text alone are answered together, each as it is answered alone."""
    asked: list[Any] = [about(picture((shade, 0, 0), (32 + shade, 30))) for shade in (0, 60, 120)]
    asked += [QUESTION, "a longer text, without any image", about(picture(), picture((0, 90, 0)))]
    alone = [model.invoke(one).text for one in asked]
    assert len(set(alone)) == len(alone)
    with ThreadPoolExecutor(len(asked)) as pool:
        assert alone == [answer.text for answer in pool.map(model.invoke, asked)]


def test_it_says_what_it_takes(model: ChatTransformers) -> None:
    """A model of text and images says so without a word from its user, and one of text alone refuses them unasked."""
    assert frozenset({"image"}) == model.accepts
    assert model.profile is not None
    assert model.profile["image_inputs"]
    for blind in (ChatTransformers(model=str(tiny_llama())), ChatTransformers(model=model.model, accepts=frozenset())):
        assert blind.profile is not None
        assert not blind.profile["image_inputs"]
        with pytest.raises(ValueError, match="ChatTransformers takes text, not content of type 'image'"):
            blind.invoke(about(picture()))


def test_a_model_that_is_said_to_see_and_does_not() -> None:
    """Where `accepts` promises images that the weights cannot read, the call says so."""
    told = ChatTransformers(model=str(tiny_llama()), accepts=frozenset({"image"}), max_tokens=2)
    with pytest.raises(ModelInvalidRequestError, match="LlamaForCausalLM takes text alone"):
        told.invoke(about(picture()))
    assert told.invoke(QUESTION).text is not None


def test_tokens_are_counted(model: ChatTransformers) -> None:
    """The tokens that stand for an image are counted before the call as its usage counts them, and fill the context."""
    asked = about(picture())
    used = usage_of(model.invoke(asked))["input_tokens"]
    assert used == model.get_num_tokens_from_messages([*asked])
    assert used > model.get_num_tokens_from_messages([*about()])
    with pytest.raises(ContextOverflowError, match=f"has {used} tokens"):
        model.invoke(asked, context_window=used - 1)


def test_the_result_of_a_tool(model: ChatTransformers) -> None:
    """A screenshot that a tool gave is seen: it makes another answer than another one."""
    call = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}
    answers = set()
    for image in (picture(), picture((10, 10, 200))):
        history = [
            HumanMessage("Look!"),
            AIMessage("", tool_calls=[call]),
            ToolMessage([block(image)], tool_call_id="1"),
        ]
        answers.add(model.invoke([*history]).text)
    assert len(answers) == 2


def test_text_that_names_an_image_is_text(model: ChatTransformers) -> None:
    """The token that stands for an image means nothing in a user's text, beside a real image or without one."""
    assert model.invoke(f"<image> {QUESTION}").text is not None
    assert model.invoke(about(picture(), text="the token <image>, twice: <image>")).text is not None


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "image", "url": "https://example.org/x.png"}, "is an address.*'base64'"),
        ({"type": "image", "url": "file:///etc/passwd"}, "is an address"),
        ({"type": "image", "base64": "AAAA", "mime_type": "image/png"}, "cannot be read: cannot identify"),
        ({"type": "image", "base64": "?", "mime_type": "image/png"}, "cannot be read"),
    ],
    ids=["address", "file", "none", "base64"],
)
def test_what_is_no_image(model: ChatTransformers, part: dict[str, Any], said: str) -> None:
    """What is no image, or no bytes, is refused with what to do; nothing is opened for whoever wrote a message."""
    with pytest.raises(ModelInvalidRequestError, match=said):
        model.invoke([HumanMessage([part, {"type": "text", "text": QUESTION}])])


def test_an_image_that_is_a_bomb(model: ChatTransformers) -> None:
    """A small file that would fill the memory is refused before it is decoded."""
    with pytest.raises(ModelInvalidRequestError, match=r"has 81,000,000 pixels"):
        model.invoke(about(Image.new("1", (9000, 9000))))
    assert model.invoke(about(picture())).text
