"""A tag with the name as an attribute, and one for each argument: `<invoke name="add"><parameter name="a">1`."""

from langplug._tools.call_templates import CallTemplate, NestedTagArguments, TagArguments
from langplug._tools.formats.tagged_json import QWEN_CODER, RESPONSE
from langplug._tools.shapes import Shape, format_of


def invocations(section: str, prefix: str = "", suffix: str = "", typed: str = "") -> Shape:
    """`<invoke name=...>` in `section`; `prefix` stands before each tag's name, `typed` after an argument's name."""
    begin, end = f"<{prefix}{suffix}", f"</{prefix}{suffix}"
    return CallTemplate(
        section=f"{begin}{section}>\n{{calls}}\n{end}{section}>",
        call=f'{begin}invoke name="{{name}}"{{*}}>\n{{arguments}}{end}invoke>',
        arguments=TagArguments(f'{begin}parameter name="{{key}}"{typed}>{{value}}{end}parameter>\n'),
    )


TYPED = ' string="{string}"'

FORMATS = (
    format_of("qwen_coder", QWEN_CODER, RESPONSE),
    # llama.cpp models/templates/ByteDance-Seed-OSS.jinja
    format_of(
        "seed_oss",
        CallTemplate(
            section="<seed:tool_call>\n{calls}\n</seed:tool_call>",
            call="<function={name}>\n{arguments}</function>",
            separator="\n</seed:tool_call>\n<seed:tool_call>\n",
            arguments=TagArguments("<parameter={key}>{value}</parameter>\n"),
        ),
        ("<seed:tool_response>\n", "\n</seed:tool_response>"),
    ),
    # llama.cpp models/templates/DeepSeek-V3.2.jinja
    format_of(
        "deepseek_v3_2",
        invocations("function_calls", "｜DSML｜", typed=TYPED),
        ("<function_results>\n<result>", "</result>\n</function_results>"),
        tools=("<functions>", "</functions>"),
        reads=[
            invocations("function_calls", "｜DSML｜", typed=TYPED),
            invocations("function_calls", typed=TYPED),  # sglang's detector knows both
        ],
    ),
    # https://huggingface.co/deepseek-ai/DeepSeek-V4-Flash
    format_of(
        "deepseek_v4",
        invocations("tool_calls", "｜DSML｜", typed=TYPED),
        ("<tool_result>", "</tool_result>"),
        tools=("<functions>", "</functions>"),
        reads=[
            invocations("tool_calls", "｜DSML｜", typed=TYPED),
            # vllm's tests of deepseek_v41 have a blank in each tag, and a shorter name
            invocations("calls", "｜DSML｜", " ", typed=TYPED),
        ],
    ),
    # sglang python/sglang/srt/function_call/gigachat35_detector.py
    format_of(
        "gigachat3_5",
        invocations("tool_calls", "｜GCML｜", typed=TYPED),
        ("function result<|role_sep|>\n", "<|message_sep|>"),
    ),
    # llama.cpp models/templates/unsloth-MiniMax-M2.jinja
    format_of(
        "minimax_m2",
        CallTemplate(
            section="<minimax:tool_call>\n{calls}\n</minimax:tool_call>",
            call='<invoke name="{name}"{*}>\n{arguments}</invoke>',
            arguments=TagArguments('<parameter name="{key}">{value}</parameter>\n'),
        ),
        ("<response>", "</response>"),
    ),
    # sglang python/sglang/srt/function_call/minimax_m3.py: each tag begins with a token, and arguments are tags
    format_of(
        "minimax_m3",
        CallTemplate(
            section="]<]minimax[>[<tool_call>\n{calls}\n]<]minimax[>[</tool_call>",
            call=']<]minimax[>[<invoke name="{name}"{*}>{arguments}]<]minimax[>[</invoke>',
            arguments=NestedTagArguments("]<]minimax[>["),
        ),
        ("<response>", "</response>"),
    ),
    # sglang python/sglang/srt/function_call/step3_detector.py
    format_of(
        "step3",
        CallTemplate(
            section="<｜tool_calls_begin｜>\n{calls}\n<｜tool_calls_end｜>",
            call='<steptml:invoke name="{name}"{*}>\n{arguments}</steptml:invoke>',
            separator="<｜tool_call_end｜>\n<｜tool_call_begin｜>function<｜tool_sep｜>",
            arguments=TagArguments('<steptml:parameter name="{key}">{value}</steptml:parameter>\n'),
            openers=("<｜tool_call_begin｜>function<｜tool_sep｜>",),
            closers=("<｜tool_call_end｜>",),
        ),
        ("<tool_response>\n", "\n</tool_response>"),
    ),
    # sglang python/sglang/srt/function_call/minicpm5_detector.py
    format_of(
        "minicpm5",
        CallTemplate(
            call='<function name="{name}"{*}>{arguments}</function>',
            arguments=TagArguments('<param name="{key}">{value}</param>', cdata=True),
        ),
        ("<tool_response>\n", "\n</tool_response>"),
    ),
    # sglang python/sglang/srt/function_call/dots_detector.py; it reads JSON in the tag as well
    format_of(
        "dots",
        CallTemplate(
            section="<dots_function_call>\n{calls}\n</dots_function_call>",
            call='<invoke name="{name}"{*}>\n{arguments}</invoke>',
            arguments=TagArguments('<parameter name="{key}">{value}</parameter>\n'),
        ),
        ("<dots_function_response>\n", "\n</dots_function_response>"),
    ),
    # sglang python/sglang/srt/function_call/muse_glimmer_detector.py
    format_of("muse", invocations("function_calls", "atem:"), ("<atem:result>\n", "\n</atem:result>")),
    # llama.cpp models/templates/Kimi-K3.jinja
    format_of(
        "kimi_k3",
        CallTemplate(
            section="<|open|>tools<|sep|>{calls}<|close|>tools<|sep|>",
            call='<|open|>call tool="{name}"{* index="1"}<|sep|>{arguments}<|close|>call<|sep|>',
            separator="",
            arguments=TagArguments(
                '<|open|>argument key="{key}" type="{type}"<|sep|>{value}<|close|>argument<|sep|>',
                json_opener='<|open|>json type="object"<|sep|>',
            ),
            closers=("<|close|>json<|sep|>",),
            frames=("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
        ),
        ('<|open|>message role="tool"<|sep|>', "<|close|>message<|sep|>"),
    ),
)
