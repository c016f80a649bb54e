"""The statements that `langplug check` checks: `reference/statements.md`."""

from collections.abc import Collection, Iterator, Mapping

from tests.docs.reference.writing import Language, table

from langplug_check import GROUPS, all_checks
from langplug_check.servers.statement import GROUPS as SERVER_GROUPS
from langplug_check.servers.statement import all_server_checks
from langplug_check.statement import Check, Group

TITLES = {"en": ("id", "statement"), "zh": ("编号", "条款")}

COUNT = {
    "en": (
        "## About models\n\nThere are {}.\n",
        "## About servers\n\nThere are {}, for `langplug check --server URL`.\n",
    ),
    "zh": ("## 关于模型\n\n共 {} 条。\n", "## 关于服务端\n\n共 {} 条，由 `langplug check --server URL` 检查。\n"),
}

CHINESE = {
    "Your own function, as it is": "你自己的函数，原样检查",
    "Construction, configuration, secrets": "构造、配置与密钥",
    "Identity, tracing, serialisation, cache key": "身份、追踪、序列化与缓存键",
    "Invoke and generate": "invoke 与 generate",
    "Stop sequences": "停止字符串",
    "Streaming": "流式输出",
    "Callbacks, events, errors": "回调、事件与错误",
    "Cache": "缓存",
    "Rate limiter": "限流器",
    "Tools": "工具",
    "Structured output": "结构化输出",
    "Runnable composition": "Runnable 的组合",
    "Standard content": "标准内容块",
    "Concurrency, async, limits": "并发、异步与资源上限",
    "Token counting, profile": "token 计数与模型档案",
    "Models and routes": "模型与路由",
    "A whole answer": "完整回答",
    "A stream": "流式回答",
    "Usage": "用量",
    "Limits, stop strings, parameters": "长度上限、停止字符串与参数",
    "Tools and structured output": "工具与结构化输出",
    "Conversations": "对话",
    "Errors": "错误",
    "Keys, hosts, content types": "密钥、主机与内容类型",
    "Many clients, and clients that leave": "大量客户端，以及中途离开的客户端",
}
"""The titles of the groups."""


def statements(language: Language) -> str:
    """All of them, about models and about servers, group after group."""
    of_models, of_servers = COUNT[language]
    contract = [check for check in all_checks().values() if check.in_contract]
    return "\n".join(
        [
            of_models.format(len(contract)),
            *tables(GROUPS, contract, language),
            of_servers.format(len(all_server_checks())),
            *tables(SERVER_GROUPS, all_server_checks().values(), language),
        ]
    )


def tables(groups: Mapping[str, Group], checks: Collection[Check], language: Language) -> Iterator[str]:
    """A table for each group that any of them is in."""
    for letter, group in groups.items():
        if rows := [(check.id, check.statement) for check in checks if check.group is group]:
            title = group.title if language == "en" else CHINESE[group.title]
            yield f"### {letter}. {title}\n\n{table(TITLES[language], rows)}"
