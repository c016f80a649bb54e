"""Tiny models of text and images with random weights, of three families that give images to a network in other ways."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.engines.tiny_llama import CONTEXT, make_tokenizer

TEMPLATE = """\
{%- for message in messages %}<|im_start|>{{ message['role'] }}
{% for part in message['content'] %}
    {%- if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""Part by part, as most such families have it: a message of text alone is a list, too."""

TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TEXT, "patch_size": 8, "image_size": 32}


def _text(tokenizer: Any) -> dict[str, Any]:
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": 1}
    sizes = {"num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT}
    return {**TEXT, **sizes, **ends, "initializer_range": 0.5, "tie_word_embeddings": False}


def _llava(tokenizer: Any) -> tuple[Any, Any]:
    """LLaVA: 16 tokens an image."""
    import transformers as tf

    image = tokenizer.convert_tokens_to_ids("<image>")
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(**VISION, projection_dim=32, initializer_range=0.5),
        text_config=tf.LlamaConfig(**_text(tokenizer)),
        image_token_index=image,
        tie_word_embeddings=False,
    )
    size = {"height": 32, "width": 32}
    reader = tf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size)
    processor = tf.LlavaProcessor(
        reader, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return tf.LlavaForConditionalGeneration(config), processor


def _idefics3(tokenizer: Any) -> tuple[Any, Any]:
    """Idefics3 and SmolVLM: images in pieces, with a mask of their pixels."""
    import transformers as tf

    image = tokenizer.convert_tokens_to_ids("<image>")
    config = tf.Idefics3Config(
        vision_config=tf.models.idefics3.Idefics3VisionConfig(**VISION, initializer_range=0.5),
        text_config=tf.LlamaConfig(**_text(tokenizer)),
        image_token_id=image,
        scale_factor=2,
        tie_word_embeddings=False,
    )
    reader = tf.Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    return tf.Idefics3ForConditionalGeneration(config), tf.Idefics3Processor(reader, tokenizer, image_seq_len=4)


def _paddle(tokenizer: Any) -> tuple[Any, Any]:
    """PaddleOCR-VL, which counts places as Qwen2-VL does: an image's by height and width."""
    import transformers as tf

    begin, end = (tokenizer.convert_tokens_to_ids(one) for one in ("<begin>", "<end>"))
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    text = {**_text(tokenizer), "head_dim": 8, "rope_parameters": rope}
    config = tf.PaddleOCRVLConfig(
        vision_config={**VISION, "spatial_merge_size": 2, "initializer_range": 0.5},
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_start_token_id=begin,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    reader = tf.PaddleOCRVLImageProcessorPil(patch_size=8, merge_size=2, min_pixels=256, max_pixels=4096)
    return tf.PaddleOCRVLForConditionalGeneration(config), tf.PaddleOCRVLProcessor(reader, tokenizer)


FAMILIES: dict[str, tuple[Callable[[Any], tuple[Any, Any]], str]] = {
    "llava": (_llava, "<image>"),
    "idefics3": (_idefics3, "<image>"),
    "paddleocr": (_paddle, "<begin><image><end>"),
}
"""How each is made, and how its template writes an image."""


@cache
def tiny_vision(family: str) -> Path:
    """The folder of a model of a family."""
    import torch
    from transformers import PreTrainedTokenizerFast

    make, image = FAMILIES[family]
    special = ["<begin>", "<end>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    plain = make_tokenizer()
    plain.add_special_tokens({"additional_special_tokens": special})
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": "<|im_start|>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer, extra_special_tokens={"image_token": "<image>"}, **named
    )
    template = TEMPLATE.replace("IMAGE", image)
    tokenizer.chat_template = template
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network, processor = make(tokenizer)
        network.lm_head.weight[tokenizer.eos_token_id] = 0
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    processor.chat_template = template
    folder = Path(mkdtemp(prefix="langplug-tests-")) / f"tiny-{family}"
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
