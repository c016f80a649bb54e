"""What `langplug serve` does with each field of a request: `reference/wires.md`."""

from tests.docs.reference.writing import Language, table

from langplug.serve.wires import WIRES

TITLES = {"en": ("field", "verdict", "how"), "zh": ("字段", "处理", "说明")}

VERDICTS = {"supported": "支持", "ignored": "忽略", "refused": "拒绝"}

NOTES = {
    "": "",
    "the id of a served model, or an alias": "所提供模型的 id 或别名",
    "images, audio, video and files are passed on as they are": "图像、音频、视频和文件原样传给模型",
    "counted, where the model tells none": "模型没有报告时由服务端自行统计",
    "`function`; other types are skipped": "`function`；其他类型会被跳过",
    "`text`, `json_object`, `json_schema`": "`text`、`json_object`、`json_schema`",
    "by the server, where the model has no such parameter": "模型没有这个参数时由服务端截断",
    "takes the place of `max_tokens`": "代替 `max_tokens`",
    "if the model has levels of it": "模型分档支持时有效",
    "takes the place of `user`": "代替 `user`",
    "by as many runs of the model": "让模型运行相应的次数",
    "if the model tells them; a stream does at its end": "模型提供时返回；流式回答在结尾给出",
    "as `logprobs`": "同 `logprobs`",
    "nothing is stored": "服务端不保存任何内容",
    "send `tools`.": "请改用 `tools`。",
    "send `tool_choice`.": "请改用 `tool_choice`。",
    "items of tools that run at OpenAI's are skipped": "由 OpenAI 一侧执行的工具条目会被跳过",
    "the first message of the system": "成为第一条系统消息",
    "`function` and `custom`; other types are skipped": "`function` 与 `custom`；其他类型会被跳过",
    "also `allowed_tools`": "也支持 `allowed_tools`",
    "reasoning is given as its summary; else as `reasoning_text`": "思考作为摘要返回，否则放进 `reasoning_text`",
    "`reasoning.encrypted_content`, `message.output_text.logprobs`": (
        "`reasoning.encrypted_content`、`message.output_text.logprobs`"
    ),
    "echoed": "原样返回",
    "echoed; a model cuts nothing by itself": "原样返回；模型不会自行截断",
    "only graphs with a checkpointer store anything": "只有带 checkpointer 的图才会保存内容",
    "what Codex says of itself": "Codex 对自身的描述",
    "it counts calls of tools that run at OpenAI's": "它限制的是由 OpenAI 一侧执行的工具",
    "true is refused: nothing is stored to be asked for": "为 true 时拒绝：服务端不保存内容，事后无从查询",
    "of graphs with a checkpointer; refused by other models": "用于带 checkpointer 的图；其他模型会拒绝",
    "nothing is stored; send the whole conversation as `input`.": "服务端不保存任何内容；请把整个对话放进 `input`。",
    "prompts are stored at OpenAI's; send `instructions` and `input`.": (
        "提示词模板保存在 OpenAI 一侧；请改用 `instructions` 和 `input`。"
    ),
    "text alone": "仅文本",
    "those that run at Anthropic's are left out": "由 Anthropic 一侧执行的工具会被略去",
    "whether the model thinks is its own matter; here, what is shown of it": (
        "是否思考由模型自己决定；这里只控制是否展示"
    ),
    "`disabled` hides reasoning": "`disabled` 会隐藏思考内容",
    "as `reasoning_effort`": "同 `reasoning_effort`",
    "and so in blocks and tools: what is cached is the model's own matter": (
        "内容块和工具里的同名字段也一样：缓存什么由模型自己决定"
    ),
    "`omitted` leaves signatures alone": "`omitted` 时只保留签名",
    "no other model answers in the place of one": "不会换用其他模型来回答",
    "send `reasoning.summary`": "请改用 `reasoning.summary`",
    "nothing is called on a client's behalf": "服务端不会代替客户端发起调用",
    "nothing is stored; send the whole conversation.": "服务端不保存任何内容；请发送整个对话。",
}
"""What the tables of the wires say of a field."""


def fields(language: Language) -> str:
    """A table for each wire."""
    return "\n".join(
        f"## `POST {wire.paths[0]}`\n\n"
        + table(
            TITLES[language],
            [
                (f"`{field.name}`", field.verdict, field.note)
                if language == "en"
                else (f"`{field.name}`", VERDICTS[field.verdict], NOTES[field.note])
                for field in wire.body.fields
            ],
        )
        for wire in WIRES
    )
