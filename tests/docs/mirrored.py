"""Tables of measured pages in Chinese: those of the English page, as these are written by programs that run for hours.

`make scoreboard`, `make mutants`, `make versus` and their like write English pages. What is written by hand around
their tables is translated by hand; the tables come out of the English page, with the words of their heads, and of what
else is said in them, in Chinese. Statements stay in English. `python -m tests.docs.generated` takes over new ones.
"""

import re

from tests.docs.pages import MIRRORED, ROOT, TABLE, translation_of
from tests.docs.reference.statements import CHINESE

from langplug_check.servers.statement import GROUPS as SERVER_GROUPS

WORDS = {
    **{f"{letter} {group.title}": f"{letter} {CHINESE[group.title]}" for letter, group in SERVER_GROUPS.items()},
    "model": "模型",
    "kept": "做到",
    "not kept": "未做到",
    "not its fault": "非其过失",
    "could be better": "尚可改进",
    "not applicable": "不适用",
    "not seen": "未能观察",
    "adopted: kept": "收编后：做到",
    "which": "哪些",
    "none": "无",
    "statement": "条款",
    "id": "编号",
    "a model that ...": "这样的模型……",
    "seen": "察觉",
    "server": "服务端",
    "version": "版本",
    "it serves": "提供的模型",
    "the scripted model": "脚本模型",
    "SmolLM2-135M-Instruct by `ChatGGUF`": "SmolLM2-135M-Instruct，由 `ChatGGUF` 运行",
    "SmolLM2-135M-Instruct; the server is built into xllamacpp": "SmolLM2-135M-Instruct；服务端内置于 xllamacpp",
    "`langplug serve` with the scripted model, behind it": "背后是 `langplug serve` 和脚本模型",
    "the scripted model, in an API with `OpenAISpec`": "脚本模型，放在带 `OpenAISpec` 的 API 里",
    "the scripted model, in a graph of one node": "脚本模型，放在只有一个节点的图里",
    "figure": "指标",
    "aim": "目标",
    "measured": "实测",
    "met": "达到",
    "**missed**": "**未达到**",
    "what": "内容",
    "peer": "对照",
    "ratio": "比值",
    "answer": "回答",
    "streamed": "流式",
    "whole": "整体",
    "within 50 ms": "50 ms 以内",
    "median, ms": "中位数，ms",
    "longest, ms": "最长，ms",
    "floor": "下限",
    "aiohttp, ready bytes": "aiohttp，现成的字节",
    "FastAPI, the usual way": "FastAPI，通常写法",
    "LiteLLM's proxy": "LiteLLM 的代理",
    "llama.cpp's server": "llama.cpp 的服务端",
    "memory, MB": "内存，MB",
    "sixteen prompts": "十六个提示词",
    "share of the engine": "占引擎速度的比例",
    "engine": "引擎",
    "memory after 100 calls": "100 次调用后的内存",
    "after 500": "500 次后",
    "a slot is free again, median": "槽位重新空闲，中位数",
    "at the latest": "最迟",
    "sixteen prompts, 64 tokens each": "十六个提示词，每个 64 个 token",
    "CPU ms/token": "CPU，ms/token",
    "of the engine": "占引擎的比例",
    "beside a busy process": "旁边有忙碌的进程时",
    "an async function": "异步函数",
    "a plain function": "普通函数",
    "a call that waits for its turn": "排队等待的调用",
}
"""What cells say; what is not here, such as a name or a figure, is the same in both languages."""

PHRASES = {
    ", as a multiple of aiohttp with ready bytes": "，为 aiohttp（现成的字节）的倍数",
    ", as a share of LiteLLM's proxy": "，占 LiteLLM 的代理的比例",
    ", as a share of hand-written, with async callbacks": "，占手写（带异步回调）的比例",
    ", as a share of hand-written, with callbacks": "，占手写（带回调）的比例",
    ", as a share of hand-written without": "，占手写（不带回调）的比例",
    ", as a share of hand-written": "，占手写的比例",
    ", as a share of ChatOpenAI": "，占 ChatOpenAI 的比例",
    "ChatEndpoint as a share of": "ChatEndpoint 占其比例",
    "hand-written": "手写",
    ", with async callbacks": "，带异步回调",
    ", with callbacks": "，带回调",
    "the same": "同上",
    "those that failed": "失败的",
    "99 of 100 first tokens within": "100 个首 token 中有 99 个在此之内",
    "99 of 100": "第 99 百分位",
    "memory of 1,000 streams": "1,000 条流的内存",
    " streams at once": " 条流同时",
    " streams": " 条流",
    "one stream, paced": "一条流，匀速",
    "one stream, at once": "一条流，一次到齐",
    "first token": "首 token",
    "median": "中位数",
    "CPU per token": "每 token CPU",
    "memory per stream": "每条流的内存",
    "µs per call": "每次调用 µs",
    "µs per token": "每 token µs",
    "tokens per second": "每秒 token",
    "KiB per stream": "每条流 KiB",
    ", memory": "，内存",
    "memory of an open `astream` after 100 chunks": "100 个块后一条打开的 `astream` 的内存",
    "memory of an open `stream_events`, version 3, after 100 deltas": (
        "100 个增量后一条打开的 `stream_events`（第 3 版）的内存"
    ),
    " with 50 bound tools, called natively": "，50 个绑定的工具，原生调用",
    " with 50 bound tools, written into the prompt": "，50 个绑定的工具，写进提示词",
    ", version 3": "（第 3 版）",
    ", a function": "，普通函数",
    ", an async function": "，异步函数",
    ", a generator": "，生成器",
    ", an async generator": "，异步生成器",
    ", per chunk": "，每块",
    ", per delta": "，每个增量",
    "native async generator, ours": "langplug 的原生异步生成器",
    "core's executor": "core 的执行器",
    "one `batch`": "一次 `batch`",
    "one `abatch`": "一次 `abatch`",
    "sixteen `astream`s at once": "十六个 `astream` 同时",
    "one `invoke` after the other": "`invoke` 一次接一次",
    ", ": "，",
    ": ": "：",
}
"""What figures are of, replaced in this order."""


def tables_of(page: str) -> list[str]:
    """The tables of an English page, in Chinese."""
    return [translated(table) for table in TABLE.findall((ROOT / page).read_text(encoding="utf-8"))]


def translated(table: str) -> str:
    """A table, cell by cell; statements stay as they are."""
    head, rule, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
    is_of_statements = {"statement", "which", "server"} & {*head} or rows[0][0].startswith("S0 ")
    say = said if is_of_statements else said_of_figures
    lines = [[say(cell) for cell in line] for line in (head, *rows)]
    told = [f"| {' | '.join(line)} |\n" for line in lines]
    return "".join([told[0], "|" + "---|" * len(rule) + "\n", *told[1:]])


def said(cell: str) -> str:
    return WORDS.get(cell, cell.replace(" (by hand)", "（手写）"))


def said_of_figures(cell: str) -> str:
    """A cell that is a figure, or says what one is of."""
    if cell in WORDS:
        return WORDS[cell]
    for phrase, chinese in PHRASES.items():
        cell = cell.replace(phrase, chinese)
    return re.sub(r"\((\S+) to (\S+)\)", r"(\1–\2)", cell)


def text_of(page: str) -> str:
    """The Chinese page, with the tables that it has to have."""
    chinese = translation_of(ROOT / page).read_text(encoding="utf-8")
    words, tables = TABLE.split(chinese), tables_of(page)
    assert len(words) == len(tables) + 1, f"{page} has {len(tables)} tables, and its translation {len(words) - 1}"
    return words[0] + "".join(table + after for table, after in zip(tables, words[1:], strict=True))


def pages() -> list[str]:
    """The English pages whose tables are taken over, as far as they are translated."""
    return [page for page in sorted(MIRRORED) if translation_of(ROOT / page).exists()]


def write(page: str) -> None:
    """Take over the tables of an English page."""
    translation_of(ROOT / page).write_text(text_of(page), encoding="utf-8")
