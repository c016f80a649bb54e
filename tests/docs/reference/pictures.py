"""The two pictures of `reference/architecture.md`: the house, and one answer's way through it.

A picture has a background of its own, light or dark as the reader's system is, since it is shown on pages of both.
"""

from collections.abc import Iterable
from html import escape

from tests.docs.reference.writing import Language
from tests.test_project import FLOORS

WIDTH = 960

STYLE = """\
<style>
  svg { font-family: system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
  .name { font: 600 13px ui-monospace, "DejaVu Sans Mono", Consolas, monospace; fill: #1b2330; }
  .what { font-size: 12px; fill: #4a5566; }
  .page { fill: #ffffff; }
  .room { fill: #f0f3f9; stroke: #b9c3d6; }
  .author { fill: #fff3d6; stroke: #d9a520; }
  .work { fill: #e4f4ea; stroke: #6fb48a; }
  .langchain { fill: #e6ecff; stroke: #7b92d8; }
  .way { fill: none; stroke: #6b778c; stroke-width: 1.5; }
  .head { fill: #6b778c; }
  @media (prefers-color-scheme: dark) {
    .name { fill: #e8ecf4; }
    .what { fill: #aab4c5; }
    .page { fill: #14171f; }
    .room { fill: #1f2531; stroke: #46516a; }
    .author { fill: #3a3014; stroke: #b98d1f; }
    .work { fill: #17322a; stroke: #3f8566; }
    .langchain { fill: #1d2747; stroke: #5a73c4; }
    .way { stroke: #8b97ad; }
    .head { fill: #8b97ad; }
  }
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
  <path class="head" d="M0,0 L8,4 L0,8 z"/>
</marker></defs>
"""


def picture(height: int, title: str, parts: Iterable[str]) -> str:
    """A picture with a title for those who have it read to them."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">\n'
        f'<title id="title">{escape(title)}</title>\n{STYLE}'
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="10"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def box(place: tuple[float, float, float, float], lines: Iterable[str], kind: str = "room") -> str:
    """A box at x and y, with a width and a height: its name, and below it what it is, line by line."""
    x, y, width, height = place
    name, *what = lines
    top = y + height / 2 - 8 * len(what) + 4
    texts = [f'<text class="name" x="{x + width / 2:g}" y="{top:g}" text-anchor="middle">{escape(name)}</text>']
    texts += [
        f'<text class="what" x="{x + width / 2:g}" y="{top + 17 * row:g}" text-anchor="middle">{escape(line)}</text>'
        for row, line in enumerate(what, start=1)
    ]
    rect = f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7"/>'
    return "\n".join([rect, *texts])


def way(path: str) -> str:
    """An arrow from one box to the next, by the commands of an SVG path."""
    return f'<path class="way" d="{path}" marker-end="url(#head)"/>'


# --- the house ---


KINDS = {"_request": "author", "_env": "author", "_parts": "author", "_errors": "author"} | dict.fromkeys(
    ("http", "models", "serve", "batch", "bench", "new", "cli", "__main__"), "work"
)
"""Rooms that authors meet, and what is built on all the others."""

ROOMS = {
    "en": {
        "_parts": "what is yielded",
        "_errors": "what is raised",
        "_wires": "names of wires",
        "_families": "of models",
        "_secrets": "what to hide",
        "_redaction": "hides it",
        "_tracebacks": "hides it",
        "_suggest": "did you mean",
        "_log": "the logger",
        "_messages": "what goes out: LangChain's messages as a model is told them",
        "_request": "what an author gets",
        "_env": "what an author declares",
        "_tools": "tools, schemas, and calls that are written in text",
        "_bridge": "four shapes of a function as one stream of parts; the only place that knows threads",
        "_answer": "what comes back, as messages",
        "_lifetimes": "made on first use",
        "_resources": "clients, weights",
        "_stream": "bytes to values to parts",
        "_model": "the class, the decorator, and how a call is answered",
        "_references": "from a reference to a model",
        "_http": "client, requests, retries, credentials",
        "http": "what of this authors may use",
        "models": "ready-made models, one file or folder each",
        "serve": "any model behind the wires that tools speak",
        "batch": "a dataset through a model",
        "bench": "how fast a model answers",
        "new": "templates of packages",
        "cli": "one file a verb",
        "__main__": "python -m langplug",
    },
    "zh": {
        "_parts": "yield 的内容",
        "_errors": "抛出的错误",
        "_wires": "协议里的名称",
        "_families": "模型系列",
        "_secrets": "要隐去什么",
        "_redaction": "隐去它们",
        "_tracebacks": "隐去它们",
        "_suggest": "拼写建议",
        "_log": "日志",
        "_messages": "去程：把 LangChain 的消息变成模型看到的样子",
        "_request": "作者收到的",
        "_env": "作者声明的",
        "_tools": "工具、schema，以及写在文本里的调用",
        "_bridge": "把函数的四种形态统一成一条内容流；唯一懂线程的地方",
        "_answer": "回程：从内容到 LangChain 的消息",
        "_lifetimes": "首次使用时创建",
        "_resources": "客户端与权重",
        "_stream": "从字节到值，再到内容",
        "_model": "模型类、装饰器，以及一次调用如何作答",
        "_references": "从引用到模型",
        "_http": "客户端、请求、重试与凭据",
        "http": "其中作者可用的部分",
        "models": "开箱即用的模型，一个文件或文件夹一个",
        "serve": "用各种工具所说的协议提供任何模型",
        "batch": "让模型跑完一个数据集",
        "bench": "模型答得有多快",
        "new": "包的模板",
        "cli": "一个动词一个文件",
        "__main__": "python -m langplug",
    },
}
"""What is in each room, in a few words."""

TITLES = {
    "en": (
        "The rooms of langplug by floors: each imports only from those below it",
        "One answer's way through langplug",
    ),
    "zh": ("langplug 的房间，按楼层排列：每个房间只从下面的楼层导入", "一次回答在 langplug 里的路径"),
}


def house(language: Language) -> str:
    """The rooms on their floors, the ground floor at the bottom."""
    parts, top = [], 20
    for rooms in reversed(FLOORS):
        width = (WIDTH - 40 - 8 * (len(rooms) - 1)) / len(rooms)
        for place, room in enumerate(rooms):
            x = 20 + place * (width + 8)
            parts.append(box((x, top, width, 46), (room, ROOMS[language][room]), KINDS.get(room, "room")))
        top += 54
    return picture(top + 12, TITLES[language][0], parts)


# --- one answer's way ---


STATIONS = {
    "en": {
        "ask": ("invoke · stream · batch", "messages, tools, stop"),
        "plan": ("_model/plan.py", "decides how the call", "is answered"),
        "out": ("_messages · _tools", "messages and tools as", "the model is told them"),
        "request": ("Request", "messages, tools,", "schema, stop"),
        "author": ("respond(request)", "the author's function:", "returns or yields,", "sync or async"),
        "bridge": ("_bridge", "one stream of parts", "of any shape"),
        "answer": ("_answer", "parts, clean pieces,", "LangChain's messages"),
        "result": ("AIMessage(Chunk)", "text, calls, usage,", "finish reason"),
        "http": ("_http", "request, key,", "retries"),
        "server": ("a server", "vLLM, a gateway, …"),
        "stream": ("_stream", "bytes, values,", "parts"),
        "run": ("_model/run.py drives all this: time limit, retries, callbacks, cancellation",),
    },
    "zh": {
        "ask": ("invoke · stream · batch", "消息、工具、停止字符串"),
        "plan": ("_model/plan.py", "决定这次调用", "如何作答"),
        "out": ("_messages · _tools", "模型看到的", "消息与工具"),
        "request": ("Request", "消息、工具、", "schema、停止字符串"),
        "author": ("respond(request)", "作者的函数：", "返回或 yield，", "同步或异步"),
        "bridge": ("_bridge", "不论什么形态，", "都是一条内容流"),
        "answer": ("_answer", "内容、整理后的片段、", "LangChain 的消息"),
        "result": ("AIMessage(Chunk)", "文本、调用、用量、", "结束原因"),
        "http": ("_http", "请求、密钥、", "重试"),
        "server": ("服务端", "vLLM、网关……"),
        "stream": ("_stream", "字节、值、", "内容"),
        "run": ("_model/run.py 驱动全程：时限、重试、回调、取消",),
    },
}
"""What stands in each box."""


def answer(language: Language) -> str:
    """Out along the top, through the author's function, and back along the bottom; over HTTP, by one more corner."""
    said = STATIONS[language]
    parts = [
        box((20, 60, 190, 70), said["ask"], "langchain"),
        box((240, 60, 150, 70), said["plan"]),
        box((420, 60, 170, 70), said["out"]),
        box((620, 60, 130, 70), said["request"], "author"),
        box((780, 60, 160, 330), said["author"], "author"),
        box((560, 320, 170, 70), said["bridge"]),
        box((300, 320, 200, 70), said["answer"]),
        box((20, 320, 190, 70), said["result"], "langchain"),
        box((620, 190, 130, 70), said["http"]),
        box((420, 190, 150, 70), said["server"], "work"),
        box((240, 190, 130, 70), said["stream"]),
        *[way(f"M{start},95 H{end}") for start, end in ((210, 238), (390, 418), (590, 618), (750, 778))],
        *[way(f"M{start},355 H{end}") for start, end in ((780, 732), (560, 502), (300, 212))],
        *[way(f"M{start},225 H{end}") for start, end in ((780, 752), (620, 572), (420, 372))],
        way("M305,260 V290 H400 V318"),
        box((20, 16, WIDTH - 40, 30), said["run"]),
    ]
    return picture(410, TITLES[language][1], parts)
