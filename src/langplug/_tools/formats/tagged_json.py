"""JSON within tags, as most families write it, each with tags of its own."""

from langplug._tools.call_templates import CallTemplate, TagArguments
from langplug._tools.shapes import IN_A_LIST, TaggedJson, format_of

TOOL_CALL = TaggedJson(text="<tool_call>\n{call}\n</tool_call>")

QWEN_CODER = CallTemplate(
    section="<tool_call>\n{calls}\n</tool_call>",
    call="<function={name}>\n{arguments}</function>",
    separator="\n</tool_call>\n<tool_call>\n",
    arguments=TagArguments("<parameter={key}>{value}</parameter>\n", pads=True),
)
"""XML in the same tags: https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct. What reads it reads JSON as well."""

RESPONSE = ("<tool_response>\n", "\n</tool_response>")

FORMATS = (
    # https://github.com/NousResearch/Hermes-Function-Calling, which Qwen2.5, Qwen3 and SmolLM follow
    format_of("hermes", TOOL_CALL, RESPONSE, reads=[QWEN_CODER]),
    # https://huggingface.co/baidu/ERNIE-4.5-21B-A3B-Thinking; the results are written from memory
    format_of("ernie", TOOL_CALL, ("<tool_output>\n", "\n</tool_output>"), reads=[QWEN_CODER]),
    # the chat template of https://huggingface.co/ibm-granite/granite-3.1-8b-instruct; 3.0 wrote `<tool_call>`
    format_of(
        "granite",
        TaggedJson(text="<|tool_call|>[{calls}]", openers=("<tool_call>",), closers=("</tool_call>",)),
        ("<|tool_response|>", ""),
        tools=("<|available_tools|>", "<|end_of_tools|>"),
        several=IN_A_LIST,
    ),
    # vllm examples/tool_chat_template_granite_20b_fc.jinja
    format_of(
        "granite_20b_fc",
        TaggedJson(text="<function_call> {call}", closers=("</function_call>",)),
        ("<function_response> ", ""),
        tools=("<|function_call_library|>", "<|end_of_library|>"),
    ),
    # llama.cpp models/templates/NVIDIA-Nemotron-Nano-v2.jinja
    format_of(
        "nemotron",
        TaggedJson(text="<TOOLCALL>[{calls}]</TOOLCALL>"),
        ("<TOOL_RESPONSE>[", "]</TOOL_RESPONSE>"),
        tools=("<AVAILABLE_TOOLS>", "</AVAILABLE_TOOLS>"),
        several=IN_A_LIST,
    ),
    # https://huggingface.co/ai21labs/AI21-Jamba-1.5-Mini; the tags of results are from memory
    format_of(
        "jamba",
        TaggedJson(text="<tool_calls>[\n{calls}\n]</tool_calls>", separator=",\n"),
        ("<tool_result>\n", "\n</tool_result>"),
        several=IN_A_LIST,
    ),
    # llama.cpp models/templates/unsloth-Apriel-1.5.jinja
    format_of(
        "apriel",
        TaggedJson(text="<tool_calls>[{calls}]</tool_calls>", openers=("<tool_call>",), closers=("</tool_call>",)),
        ("<|tool_result|>\n", "\n<|end|>"),
        tools=("<available_tools>", "</available_tools>"),
        several=IN_A_LIST,
    ),
    # vllm examples/tool_chat_template_hunyuan_a13b.jinja
    format_of(
        "hunyuan_a13b",
        TaggedJson(text="<tool_calls>[{calls}]</tool_calls>"),
        ("<tool_response>", "</tool_response>"),
        several=IN_A_LIST,
    ),
    # vllm examples/tool_chat_template_minimax_m1.jinja
    format_of(
        "minimax_m1",
        TaggedJson(text="<tool_calls>\n{calls}\n</tool_calls>", separator="\n"),
        ("<tool_response>\n", "\n</tool_response>"),
    ),
    # vllm examples/tool_chat_template_apertus.jinja
    format_of(
        "apertus",
        TaggedJson(text="<|tools_prefix|>[{calls}]<|tools_suffix|>", keyed=True),
        ("[", "]"),
        several=IN_A_LIST,
    ),
    # https://huggingface.co/CohereLabs/c4ai-command-r7b-12-2024, and Command A; Command 4 has `TEXT` for `RESPONSE`
    format_of(
        "command",
        TaggedJson(
            text="<|START_ACTION|>[\n    {calls}\n]<|END_ACTION|>",
            name_key="tool_name",
            args_key="parameters",
            id_key="tool_call_id",
            separator=",\n    ",
            frames=("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"),
        ),
        ("<|START_TOOL_RESULT|>[", "]<|END_TOOL_RESULT|>"),
        several=IN_A_LIST,
    ),
    # vllm examples/tool_chat_template_internlm2_tool.jinja
    format_of(
        "internlm",
        TaggedJson(
            text="<|action_start|><|plugin|>\n{call}<|action_end|>",
            args_key="parameters",
            openers=("<|action_start|> <|plugin|>",),
        ),
        ("<|environment|>\n", ""),
    ),
    # llama.cpp models/templates/GigaChat3-10B-A1.8B.jinja; sglang's detector reads `<|function_call|>` as well
    format_of(
        "gigachat3",
        TaggedJson(
            text="function call<|role_sep|>\n{call}<|message_sep|>",
            openers=("<|message_sep|>\n\nfunction call<|role_sep|>", "<|function_call|>"),
            closers=("</s>",),
        ),
        ("function result<|role_sep|>\n", "<|message_sep|>"),
    ),
    # https://huggingface.co/microsoft/Phi-4-mini-instruct, and vllm examples/tool_chat_template_phi4_mini.jinja
    format_of(
        "phi4_mini",
        TaggedJson(text="<|tool_call|>[{calls}]<|/tool_call|>", openers=("functools",)),
        ("<|tool_response|>\n", "\n<|/tool_response|>"),
        tools=("<|tool|>", "<|/tool|>"),
        several=IN_A_LIST,
    ),
    # https://huggingface.co/fireworks-ai/llama-3-firefunction-v2
    format_of(
        "firefunction",
        TaggedJson(text="functools[{calls}]"),
        ("<tool_response>", "</tool_response>"),
        several=IN_A_LIST,
    ),
    # vllm examples/tool_chat_template_hyperclovax_seed_think_14b.jinja: the header of the next turn is the tag
    format_of(
        "hyperclovax",
        TaggedJson(
            text="-> tool/function_call\n[{calls}]<|im_end|>",
            openers=(
                "<|im_start|>assistant -> tool/function_call",
                "<|im_end|>\n<|im_start|>assistant -> tool/function_call",
            ),
            closers=("<|stop|>",),
        ),
        ("tool/function_call\n", ""),
        several=IN_A_LIST,
    ),
)
