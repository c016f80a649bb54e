"""A tiny Llama with random weights, which any test can make: a Hugging Face folder as real ones are, but of 100 kB.

It says nonsense, in all alphabets: its tokenizer is byte-level and hardly merges, so that most characters that are not
ASCII are cut into several tokens.
"""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

TEMPLATE = """\
{%- if tools %}<|im_start|>system
# Tools

You may call one or more functions to assist with the user query.
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>

For each function call, return a json object within <tool_call></tool_call> XML tags.<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""As Qwen's: its family calls tools as Hermes does."""

TEXTS = (
    "the cat sat on the mat",
    "größer als das Maß",
    "日本語のテキスト",
    "你好，世界",
    "🙂🙃 👩‍👩‍👧 🏳️‍🌈",
    '{"name": "x", "arguments": {}}',
)

CONTEXT = 1024


def make_tokenizer(vocabulary: int = 300) -> Any:
    """A byte-level tokenizer with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", bos_token="<|im_start|>"
    )
    fast.chat_template = TEMPLATE
    return fast


def save_llama(folder: Path, *, template: str | None = TEMPLATE, seed: int = 0, **config: Any) -> Path:
    """Make the model, and save it in `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": 1}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        made = LlamaForCausalLM(
            LlamaConfig(
                **{**sizes, "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT}
                | {**ids, "initializer_range": 0.5, **config}
            )
        )
        made.lm_head.weight[tokenizer.eos_token_id] = 0  # or it would end its answers at random: greedy, it never does
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def usage_of(answer: Any) -> dict[str, int]:
    """The tokens of an answer, which it must tell."""
    assert isinstance(answer.usage_metadata, dict)
    return answer.usage_metadata


@cache
def tiny_llama() -> Path:
    """The folder of the model that most tests share."""
    return save_llama(Path(mkdtemp(prefix="langplug-tests-")) / "tiny-llama")


@cache
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder, made of the GGUF file that `langplug pull` downloads.

    transformers keeps a GGUF file's weights packed, and does not save them so: they go into a model without packing.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from langplug.models.gguf.weights import SMOLLM2, find, pull

    file = find(SMOLLM2) or pull(SMOLLM2)
    folder = Path(mkdtemp(prefix="langplug-tests-")) / "SmolLM2-135M-Instruct"
    packed = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    unpacked = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    unpacked.load_state_dict(packed.state_dict())
    unpacked.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return folder
