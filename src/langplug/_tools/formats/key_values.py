r"""A name, and a pair of tags for each argument: `<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>`."""

from langplug._tools.call_templates import CallTemplate, TagArguments
from langplug._tools.shapes import format_of

RESPONSE = ("<tool_response>\n", "\n</tool_response>")

GLM = CallTemplate(
    call="<tool_call>{name}\n{arguments}</tool_call>",
    arguments=TagArguments("<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"),
)
"""llama.cpp models/templates/GLM-4.6.jinja; Ling 3, Laguna and Spark 2.5 write the same."""

FORMATS = (
    format_of("glm", GLM, RESPONSE),
    # https://huggingface.co/zai-org/GLM-4.7: without newlines
    format_of(
        "glm_4_7",
        CallTemplate(
            call="<tool_call>{name}{arguments}</tool_call>",
            separator="",
            arguments=TagArguments("<arg_key>{key}</arg_key><arg_value>{value}</arg_value>"),
        ),
        ("<tool_response>", "</tool_response>"),
    ),
    # https://huggingface.co/meituan-longcat/LongCat-Flash-Chat; earlier ones write JSON in the tag
    format_of(
        "longcat",
        CallTemplate(
            call="<longcat_tool_call>{name}\n{arguments}</longcat_tool_call>",
            arguments=TagArguments(
                "<longcat_arg_key>{key}</longcat_arg_key>\n<longcat_arg_value>{value}</longcat_arg_value>\n"
            ),
        ),
        ("<longcat_tool_response>\n", "\n</longcat_tool_response>"),
        tools=("<longcat_tool_declare>", "</longcat_tool_declare>"),
    ),
    # sglang python/sglang/srt/function_call/hunyuan_detector.py, for the preview
    format_of(
        "hunyuan_3",
        CallTemplate(
            section="<tool_calls>\n{calls}\n</tool_calls>",
            call="<tool_call>{name}<tool_sep>\n{arguments}</tool_call>",
            arguments=TagArguments("<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"),
        ),
        ("<tool_response>", "</tool_response>"),
        reads=[
            CallTemplate(
                section=f"<tool_calls{suffix}>{{calls}}</tool_calls{suffix}>",
                call=f"<tool_call{suffix}>{{name}}«<tool_sep{suffix}>»{{arguments}}</tool_call{suffix}>",
                arguments=TagArguments(
                    f"<arg_key{suffix}>{{key}}</arg_key{suffix}> <arg_value{suffix}>{{value}}</arg_value{suffix}>"
                ),
            )
            # the same file says that released checkpoints have a suffix in each tag
            for suffix in ("", ":opensource")
        ],
    ),
    # vllm/tool_parsers/solar_open2_tool_parser.py
    format_of(
        "solar_open2",
        CallTemplate(
            call="<|tool_call:start|>{name}\n{arguments}<|tool_call:end|>",
            arguments=TagArguments("<|tool_arg:start|>{key}<|tool_arg:value|>{value}<|tool_arg:end|>\n"),
        ),
        ("<|tool_response:start|>", "<|tool_response:end|>"),
    ),
    # sglang python/sglang/srt/function_call/k2_v3_detector.py
    format_of(
        "k2_horizon",
        CallTemplate(
            section="<ifm|tool_calls>\n{calls}\n</ifm|tool_calls>",
            call="<ifm|tool_call>{name}\n{arguments}</ifm|tool_call>",
            arguments=TagArguments("<ifm|arg_key>{key}</ifm|arg_key>\n<ifm|arg_value>{value}</ifm|arg_value>\n"),
        ),
        ("<ifm|tool_response>\n", "\n</ifm|tool_response>"),
    ),
)
