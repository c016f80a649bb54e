"""A program of its own: load a model of 100 KB with a chat template, have it written out, and exit with 0.

`trial.py` runs it, since llama.cpp's template engine has no limits: if anything crashes here, hangs or takes all
memory, it is this process. It imports nothing of langplug, so that it starts in a tenth of a second.

stdin: JSON with `path` (Python's search path), `template`, and the limits: `cpu_s` (seconds of the processor),
`answer_s` (seconds for one conversation), `memory` (bytes).
Exit codes: 0 the template is harmless; 3 llama.cpp refuses it, and stderr says why; 4 it writes too much; 5 an answer
did not come. Where the system ends it, it has crashed, or taken more than it may.
"""

import http.client
import importlib
import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_WIDTH = 32
_LONGEST_PROMPT = 1 << 24
"""Bytes of an answer. The longest conversation here has some 100,000 characters."""

_PARAMETERS = {
    "type": "object",
    "properties": {"place": {"type": "object", "properties": {"x": {"type": "array", "items": {"type": "number"}}}}},
}
_TOOLS = [
    {"type": "function", "function": {"name": f"t{number}", "description": "Does it.", "parameters": _PARAMETERS}}
    for number in range(8)
]
_CALL = {"id": "c1", "type": "function", "function": {"name": "t1", "arguments": '{"place": {"x": [1, 2]}}'}}
_TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "Where? " * 300},
    {"role": "assistant", "content": "", "reasoning_content": "Well.", "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "t1", "content": "There."},
    {"role": "assistant", "content": "There."},
]
_USER: dict[str, Any] = {"role": "user", "content": "Hi"}


def conversations() -> list[dict[str, Any]]:
    """Short and long, with and without a system message, calls and tools."""
    system: dict[str, Any] = {"role": "system", "content": "Be kind."}
    talks: list[list[dict[str, Any]]] = [[_USER], [system, _USER], [system, *_TURNS, _USER], [*_TURNS * 40, _USER]]
    return [{"messages": talk, **extra} for talk in talks for extra in ({}, {"tools": _TOOLS})]


def tiny_model(template: str) -> bytes:
    """A GGUF file with the smallest model that llama.cpp loads; all its weights are 0."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    count = len(tokens)
    numbers = {
        "context_length": 512, "embedding_length": _WIDTH, "block_count": 1, "feed_forward_length": _WIDTH,
        "attention.head_count": 1, "rope.dimension_count": _WIDTH,
    }  # fmt: skip
    entries = [
        ("general.architecture", _text("llama")),
        *((f"llama.{name}", struct.pack("<II", 4, value)) for name, value in numbers.items()),
        ("llama.attention.layer_norm_rms_epsilon", struct.pack("<If", 6, 1e-5)),
        ("tokenizer.ggml.model", _text("llama")),
        ("tokenizer.ggml.tokens", struct.pack("<IIQ", 9, 8, count) + b"".join(_text(one)[4:] for one in tokens)),
        ("tokenizer.ggml.scores", struct.pack(f"<IIQ{count}f", 9, 6, count, *[0.0] * count)),
        ("tokenizer.ggml.token_type", struct.pack(f"<IIQ{count}i", 9, 5, count, 2, 3, 3, *[6] * 256)),
        ("tokenizer.chat_template", _text(template)),
    ]
    square: tuple[int, ...] = (_WIDTH, _WIDTH)
    block = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"), square)
    block |= dict.fromkeys(("attn_norm", "ffn_norm"), (_WIDTH,))
    tensors = {f"blk.0.{name}.weight": shape for name, shape in block.items()}
    tensors |= {"token_embd.weight": (_WIDTH, count), "output.weight": (_WIDTH, count), "output_norm.weight": (_WIDTH,)}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    head += b"".join(_text(name)[4:] + value for name, value in entries)
    offset = 0
    for name, shape in tensors.items():
        head += _text(name)[4:] + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += 4 * _WIDTH * (shape[1] if len(shape) > 1 else 1)
    return head + b"\0" * (-len(head) % 32 + offset)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<IQ", 8, len(encoded)) + encoded


def _limit(cpu_s: int, memory: int) -> None:
    """Have the system end this process when it takes more; Windows cannot, and there the parent's clock must do."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> int:
    """Try the template. Returns the exit code."""
    given = json.load(sys.stdin)
    sys.path[:] = given["path"]
    llama: Any = importlib.import_module("xllamacpp")  # which comes without types
    # In memory where that can be: whatever happens to this process, no file is left behind.
    if sys.platform == "linux":
        file = Path(f"/proc/self/fd/{os.memfd_create('model')}")
    else:
        file = Path(tempfile.mkdtemp(prefix="langplug-"), "tiny.gguf")
    file.write_bytes(tiny_model(given["template"]))
    params = llama.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.n_batch, params.n_ubatch = 256, 1, 32, 32
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = params.n_threads_http = 1
    params.warmup = params.fit_params = params.ui = False
    params.verbosity, params.cache_ram_mib, params.n_gpu_layers = 1, 0, 0
    _limit(given["cpu_s"], given["memory"])
    try:
        server = llama.Server(params)
    except RuntimeError:
        return 3
    address = urlsplit(server.listening_address)
    for body in conversations():
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=given["answer_s"])
        try:
            connection.request("POST", "/apply-template", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()  # a refusal is one, too
            if len(answer.read(_LONGEST_PROMPT)) == _LONGEST_PROMPT:
                return 4
        except (OSError, http.client.HTTPException):
            return 5
        connection.close()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # what llama.cpp still has to tear down is of no use
