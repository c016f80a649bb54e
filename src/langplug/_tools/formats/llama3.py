"""The format of Llama 3: JSON with `"parameters"`, by itself or after `<|python_tag|>`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/
"""

from langplug._tools.call_templates import CallTemplate
from langplug._tools.formats.plain_json import BareJson
from langplug._tools.shapes import JsonResult, TaggedJson, format_of

FORMATS = (
    format_of(
        "llama3",
        BareJson(args_key="parameters"),
        JsonResult("Tool result: ", "", key="output"),
        reads=[
            TaggedJson(text="<|python_tag|>{call}"),
            BareJson(),
            CallTemplate(call="<function={name}>{arguments}</function>"),
        ],
    ),
)
