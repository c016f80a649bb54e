"""Which GGUF files OpenVINO reads, told by their headers."""

from typing import Final

from langplug.models.gguf.header import Contents

# What the GGUF reader within OpenVINO GenAI 2026.4 takes. `create_from_gguf` names the architectures; `load_arrays` and
# `gguf_load_quantized` the types of tensors; `get_split_regex` and `create_tokenizer_from_config` the tokenizers. Of
# others it would take some, and read them wrongly:
# https://github.com/openvinotoolkit/openvino.genai/tree/master/src/cpp/src/gguf_utils
_ARCHITECTURES: Final = ("llama", "qwen2", "qwen3")
_TENSOR_TYPES: Final = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 8: "Q8_0", 12: "Q4_K", 14: "Q6_K"}
_SIZES: Final = {0: (4, 1), 1: (2, 1), 2: (18, 32), 3: (20, 32), 8: (34, 32), 12: (144, 256), 14: (210, 256)}
"""So many bytes hold so many numbers: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h."""
_OTHER_TYPES: Final = {6: "Q5_0", 7: "Q5_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K", 20: "IQ4_NL", 23: "IQ4_XS", 30: "BF16"}
"""Names of types that it does not read, for messages: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""
_TOKENIZERS: Final = ("qwen2", "smollm", "llama-bpe")


def unreadable_by_openvino(contents: Contents) -> str | None:
    """Why OpenVINO's reader cannot take a file, or None if it can."""
    values = contents.values
    architecture = values.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        return f"its architecture is {architecture!r}, and only {', '.join(_ARCHITECTURES)} are known to it"
    if unknown := {kind for kind, _, _ in contents.tensors} - _TENSOR_TYPES.keys():
        names = ", ".join(_OTHER_TYPES.get(kind, f"type {kind}") for kind in sorted(unknown))
        return f"it holds tensors in {names}, and only {', '.join(_TENSOR_TYPES.values())} are known to it"
    ends = (first + _SIZES[kind][0] * numbers // _SIZES[kind][1] for kind, first, numbers in contents.tensors)
    if contents.size < max(ends, default=0):  # it would read beyond the end, and take the process with it
        return "it is cut off"
    tokenizer = values.get("tokenizer.ggml.pre") if values.get("tokenizer.ggml.model") == "gpt2" else "sentencepiece"
    if tokenizer not in _TOKENIZERS:
        return f"its tokenizer is {tokenizer!r}, and only {', '.join(_TOKENIZERS)} are known to it"
    if values.get(f"{architecture}.expert_count"):
        return "it is a mixture of experts"
    if int(values.get("split.count") or 1) > 1:
        return "it is split into several files"
    return None
