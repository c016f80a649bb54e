"""What `ChatEndpoint` knows of servers, and what it learns of others: `reference/servers.md`."""

from collections.abc import Iterator

from tests.docs.reference.writing import Language, table

from langplug.models.concessions import CONCESSIONS
from langplug.models.servers import ALL_CHOICES, SERVERS, Server

WORDS = {
    "en": {
        "known": "## What is known\n",
        "titles": "`server`, recognised by, stop string, usage of an answer cut at a stop string, also",
        "cut": "cut here",
        "usage": "known",
        "key": "the `api_key` goes into the header `{}`",
        "name": "`{}` is sent as `{}`",
        "drops": "not sent: {}",
        "stops": "with more than {} stop strings, cut here",
        "json_object": "the schema goes into the prompt, with JSON mode",
        "words": "the schema goes into the prompt",
        "json_mode": "JSON mode is sent as a schema",
        "strict": "no `strict`",
        "choices": "`tool_choice` in another form for {}",
        "required": '"required" is sent as `{}`',
        "streams": "always streams, or it would finish answers that nobody waits for",
        "ids": "ids of calls made to match `{}`",
        "roles": '`roles="{}"`',
        "developer": "`developer` is sent as `system`",
        "names": "no names of messages",
        "calls": "earlier calls one a turn",
        "reasoning": "reasoning goes into {}",
        "in both": "`reasoning` and `reasoning_content`",
        "in think_tags": "`<think>` in the text",
        "kept": 'earlier reasoning is sent back (`keep_reasoning="{}"`)',
        "join": "; ",
        "learnt": "## What is learnt\n",
        "learns": "it refuses, from then on",
    },
    "zh": {
        "known": "## 已知的服务端\n",
        "titles": "`server`, 识别依据, 停止字符串, 在停止字符串处截断时的用量, 其他",
        "cut": "由 langplug 截断",
        "usage": "可知",
        "key": "`api_key` 放进请求头 `{}`",
        "name": "`{}` 改以 `{}` 发送",
        "drops": "不发送：{}",
        "stops": "停止字符串超过 {} 个时由 langplug 截断",
        "json_object": "schema 写进提示词，并启用 JSON 模式",
        "words": "schema 写进提示词",
        "json_mode": "JSON 模式以 schema 的形式发送",
        "strict": "不支持 `strict`",
        "choices": "{} 这几种 `tool_choice` 改用其他形式",
        "required": '"required" 改以 `{}` 发送',
        "streams": "始终以流式请求，否则即使无人等待，它也会把回答生成完",
        "ids": "调用的 id 会改成符合 `{}` 的形式",
        "roles": '`roles="{}"`',
        "developer": "`developer` 改以 `system` 发送",
        "names": "不发送消息的 `name`",
        "calls": "历史对话中每轮只放一个调用",
        "reasoning": "思考内容放进 {}",
        "in both": "`reasoning` 和 `reasoning_content`",
        "in think_tags": "正文里的 `<think>`",
        "kept": '先前的思考内容会发回去（`keep_reasoning="{}"`）',
        "join": "；",
        "learnt": "## 从拒绝中学到的\n",
        "learns": "服务端拒绝, 此后",
    },
}

NAMES = (
    *("stream_options", "include", "max_tokens", "max_completion_tokens", "parallel_tool_calls", "strict"),
    *("tool_choice", '`roles="system first"`', '`roles="alternating"`', '`roles="user and assistant"`'),
    '`keep_reasoning="all"`',
)

CHINESE = {
    **dict(zip(NAMES, NAMES, strict=True)),
    "it is left out, and usage is read where the server reports it unasked": "不再发送；服务端主动报告用量时仍会读取",
    "it is left out: such a model has no reasoning to send back": "不再发送：这样的模型没有可以发回的思考内容",
    "`max_completion_tokens` is sent": "改发 `max_completion_tokens`",
    "`max_tokens` is sent": "改发 `max_tokens`",
    "it is left out; where it was `False`, calls beyond the first are dropped": (
        "不再发送；原本为 `False` 时，只保留第一个调用"
    ),
    "it is left out": "不再发送",
    "a tool_choice that names a tool": "指定某个工具的 tool_choice",
    '`"required"` is sent with that one tool': '只带这一个工具，并发送 `"required"`',
    "tool_choice required": "tool_choice 为 required",
    'the tool is named if there is one, else `"auto"` is sent; the answer is checked': (
        '只有一个工具时直接指定它，否则发送 `"auto"`；回答会被检查'
    ),
    "it is left out; the answer is checked": "不再发送；回答会被检查",
    "response_format json_schema": "response_format 为 json_schema",
    "the schema goes into the prompt, with JSON mode; the answer is checked": (
        "schema 写进提示词，并启用 JSON 模式；回答会被检查"
    ),
    "response_format json_object": "response_format 为 json_object",
    "the prompt asks for JSON; the answer is checked": "在提示词里要求输出 JSON；回答会被检查",
    "so many stop strings": "这么多停止字符串",
    "langplug cuts the answer itself": "由 langplug 截断回答",
    "the role developer": "developer 角色",
    "`system` is sent": "改发 `system`",
    "system messages that are not first": "不在开头的系统消息",
    "roles that do not alternate": "没有交替出现的角色",
    "roles other than user and assistant": "user 和 assistant 以外的角色",
    "unknown keys of calls": "调用里它不认识的键",
    "they are left out, also where the server sent them itself": "不再发送，即使是服务端自己给的",
    "fields that its answers bring": "它自己的回答带来的字段",
    "they are left out, also where they hold a signature": "不再发送，即使其中含有签名",
    "several calls in one turn": "一轮中有多个调用",
    "earlier calls are sent one a turn": "历史对话中每轮只发一个调用",
    "names of messages": "消息的 name",
    "they are left out": "不再发送",
    "ids of calls of this form": "这种形式的调用 id",
    "they become nine letters and digits": "改成九位字母和数字",
    "content in parts": "分段的内容",
    "parts of text become one string": "各段文本合并成一个字符串",
    "a field for earlier reasoning": "存放先前思考内容的字段",
    "it goes into the text, between `<think>` and `</think>`": "放进正文，置于 `<think>` 与 `</think>` 之间",
    "earlier turns without their reasoning": "历史对话中缺少思考内容的轮次",
}
"""What is said of a concession."""


def servers(language: Language) -> str:
    """The kinds of servers, and whatever a server may refuse without ending the call."""
    words = WORDS[language]
    say = CHINESE.__getitem__ if language == "zh" else str
    known = table(words["titles"].split(", "), [row(name, server, words) for name, server in SERVERS.items()])
    learnt = table(words["learns"].split(", "), [(say(one.refused), say(one.instead)) for one in CONCESSIONS])
    return "\n".join([words["known"], known, words["learnt"], learnt])


def row(name: str, server: Server, words: dict[str, str]) -> tuple[str, ...]:
    """A kind of server: how it is recognised, and what is done for it."""
    return (
        f'[`"{name}"`]({server.source})' if server.source else f'`"{name}"`',
        ", ".join([*map(code, server.hosts), *([code(f"owned_by: {server.owner}")] if server.owner else [])]),
        ", ".join(map(code, server.includes_stop)) or words["cut"],
        words["usage"] if server.running_usage else "",
        words["join"].join([*fields(server, words), *messages(server, words)]),
    )


def code(text: str) -> str:
    return f"`{text}`"


def fields(server: Server, words: dict[str, str]) -> Iterator[str]:
    """What is done to the fields of the body."""
    if server.key_header:
        yield words["key"].format(server.key_header)
    yield from (words["name"].format(ours, its) for ours, its in server.names.items())
    if server.drops:
        yield words["drops"].format(", ".join(map(code, sorted(server.drops))))
    if server.most_stops:
        yield words["stops"].format(server.most_stops)
    if server.schema != "json_schema":
        yield words[server.schema]
    if not server.json_mode:
        yield words["json_mode"]
    if not server.strict:
        yield words["strict"]
    if refused := sorted(ALL_CHOICES - server.choices):
        yield words["choices"].format(", ".join(map(code, refused)))
    if server.required != "required":
        yield words["required"].format(server.required)
    yield from (words["name"].format('reasoning_effort="none"', name) for name in server.no_thinking)
    if server.streams_always:
        yield words["streams"]


def messages(server: Server, words: dict[str, str]) -> Iterator[str]:
    """What is done to the messages."""
    if server.call_ids:
        yield words["ids"].format(server.call_ids)
    if server.roles != "as given":
        yield words["roles"].format(server.roles)
    if not server.developer_role:
        yield words["developer"]
    if not server.names_messages:
        yield words["names"]
    if server.one_call_a_turn:
        yield words["calls"]
    if server.reasoning_as != "reasoning_content":
        yield words["reasoning"].format(words.get(f"in {server.reasoning_as}") or code(server.reasoning_as))
    if server.keep_reasoning != "never":
        yield words["kept"].format(server.keep_reasoning)
