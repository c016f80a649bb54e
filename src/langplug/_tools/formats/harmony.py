"""Harmony, which gpt-oss writes: messages in channels, with a recipient if they are calls.

https://github.com/openai/harmony/blob/main/docs/format.md. The channel `analysis` is reasoning, which the family's tags
split off before calls are read; `final`, and `commentary` without a recipient, are text, and lose their frames here.
"""

from langplug._tools.call_templates import CallTemplate
from langplug._tools.shapes import Place, format_of

CALL = CallTemplate(
    call="<|channel|>commentary to=functions.{name}{* <|constrain|>json}<|message|>{arguments}<|call|>",
    frames=(
        "<|start|>assistant",
        *(
            f"<|channel|>{channel}{content_type}<|message|>"
            for channel in ("final", "commentary")
            # of structured output; the blank and the token come and go
            for content_type in ("", " <|constrain|>json", "<|constrain|>json", " json")
        ),
        "<|end|>",
        "<|return|>",
    ),
)


def in_other_order(opener: str, where: Place = "anywhere") -> CallTemplate:
    """A call whose recipient stands elsewhere, or has no namespace."""
    return CallTemplate(call=f"{opener}«functions.»{{name}}{{*}}<|message|>{{arguments}}<|call|>", where=where)


FORMATS = (
    format_of(
        "harmony",
        CALL,
        ("<|start|>functions<|channel|>commentary<|message|>", "<|end|>"),
        tools=("namespace functions {", "}"),
        reads=[
            CALL,
            in_other_order("<|channel|>commentary to="),
            in_other_order("<|channel|>analysis to="),
            in_other_order("to=", "line start"),  # in the role, which the prompt may hold already
        ],
    ),
)
