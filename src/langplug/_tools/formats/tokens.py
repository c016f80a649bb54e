"""Tokens around a name, and then JSON: `<|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{"a": 1}`."""

from dataclasses import dataclass

from langplug._tools.call_templates import CallTemplate
from langplug._tools.shapes import format_of

KIMI_K2 = CallTemplate(
    section="<|tool_calls_section_begin|>{calls}<|tool_calls_section_end|>",
    call="<|tool_call_begin|>«functions.»{name}{id}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>",
    separator="",
)
DEEPSEEK = CallTemplate(
    section="<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>",
    call="<｜tool▁call▁begin｜>«function<｜tool▁sep｜>»{name}«<｜tool▁sep｜>»\n«```json»\n{arguments}\n```<｜tool▁call▁end｜>",
)
"""What V3, R1 and V3.1 write, for reading."""


@dataclass(frozen=True, slots=True)
class KimiResult:
    """Writes a result as Kimi K2 is shown it."""

    def __call__(self, name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
        """A heading with the id that the call bears, and the content."""
        return f"## Return of functions.{name}:{call_id or 0}\n{'error: ' * is_error}{content}"


OUTPUT = ("<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>")

FORMATS = (
    # llama.cpp models/templates/Kimi-K2-Thinking.jinja
    format_of("kimi_k2", KIMI_K2, KimiResult()),
    # vllm examples/tool_chat_template_deepseekv3.jinja, and for R1
    format_of(
        "deepseek_v3",
        CallTemplate(
            section=DEEPSEEK.section,
            call="<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>",
        ),
        OUTPUT,
        reads=[DEEPSEEK],
    ),
    # llama.cpp models/templates/deepseek-ai-DeepSeek-V3.1.jinja
    format_of(
        "deepseek_v3_1",
        CallTemplate(
            section=DEEPSEEK.section,
            call="<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>",
            separator="",
        ),
        OUTPUT,
        reads=[DEEPSEEK],
    ),
    # https://huggingface.co/meetkai/functionary-small-v3.2: `all` is the name of text to the user
    format_of(
        "functionary",
        CallTemplate(call=">>>{name}\n{arguments}", frames=(">>>all\n",)),
        ("<tool_response>\n", "\n</tool_response>"),
    ),
    # llama.cpp models/templates/MiroThinker-v1.jinja
    format_of(
        "mcp",
        CallTemplate(
            call="<use_mcp_tool>\n<server_name>{*tools}</server_name>\n<tool_name>{name}</tool_name>\n"
            "<arguments>\n{arguments}\n</arguments>\n</use_mcp_tool>",
        ),
        ("<tool_response>\n", "\n</tool_response>"),
    ),
    # sglang python/sglang/srt/function_call/inkling_detector.py: the name stands in the header and in the JSON
    format_of(
        "inkling",
        CallTemplate(
            call='<|message_model|>{name}<|content_invoke_tool_json|>{"name": "{name}", "args": {arguments}}'
            "<|end_message|>",
            separator="",
            frames=("<|message_model|><|content_text|>", "<|content_text|>", "<|end_message|>"),
        ),
        ("<|message_tool|>", "<|end_message|>"),
    ),
    # https://arxiv.org/abs/2210.03629, as agents of text models write it
    format_of(
        "react",
        CallTemplate(call="Action: {name}\nAction Input: {arguments}", where="line start", closers=("Observation:",)),
        ("Observation: ", ""),
    ),
)
