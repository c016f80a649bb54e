"""Copied code asks what the page asked: each is run against the server, and the model is asked the same again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.playground.playground import Playground

from langplug import ToolCall
from langplug.models import ChatScripted

expect = pytest.importorskip("playwright.sync_api").expect

Play = Callable[..., Playground]

KEY = "a key"
QUESTION = "It's \"quoted\", $HOME, `id`, \\n, 'é😀'\nand two lines"
SCHEMA = (
    '{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false}'
)
FUNCTION = '{"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}'
TOOLS = f'[{{"type": "function", "function": {FUNCTION}}}]'


def run(code: str, *command: str) -> str:
    """What the code prints, run by a command that reads it."""
    env = {**os.environ, "API_KEY": KEY, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run([*command], input=code, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


LANGUAGES = {
    "curl": ("sh",),
    "OpenAI SDK": (sys.executable, "-"),
    "ChatOpenAI": (sys.executable, "-"),
    "ChatEndpoint": (sys.executable, "-"),
}
NEEDS = {"OpenAI SDK": "openai", "ChatOpenAI": "langchain_openai"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("asks_for", ["text", "tools", "schema"])
def test_copied_code_asks_the_same(play: Play, language: str, asks_for: str) -> None:
    """Code for each client, with parameters, tools or a schema, has the model asked what the page had it asked."""
    if language in NEEDS:
        pytest.importorskip(NEEDS[language])
    if language == "curl" and shutil.which("curl") is None:
        pytest.skip("there is no curl")
    replies = {
        "text": ["Before.", "Answer.", "Answer."],
        "tools": [ToolCall(name="look", args={"at": "x"}, id="c"), "Answer.", "Answer."],
        "schema": ['{"ok": true}', '{"ok": true}', '{"ok": true}'],
    }[asks_for]
    model = Sampled(replies=replies, tool_calling="native", structured_output="native")
    playground = play({"m": model}, api_key=KEY)
    playground.expected = ("Failed to load resource: the server responded with a status of 401",)
    playground.field("API key").fill(KEY)
    playground.field("API key").press("Enter")
    expect(playground.page.get_by_label("Model", exact=True)).to_have_value("m")
    playground.set("System prompt", "Be brief.")
    playground.set("Temperature", "0.5")
    playground.set("Top p", "0.9")
    playground.set("Max tokens", "99")
    playground.set("Seed", "7")
    if asks_for == "text":
        playground.set("Stop sequences, one a line", "END\nit's")
    if asks_for == "schema":
        playground.set("JSON schema of the answer", SCHEMA)
    if asks_for == "tools":
        playground.set("Tools, a list as the API takes it", TOOLS)
    playground.ask(QUESTION)
    if asks_for == "tools":
        playground.field("Result of look").fill("seen: it's")
        playground.button("Send the results").click()
    else:
        playground.ask("And now?")
    expect(playground.answers).to_have_count(2)
    playground.wait()
    playground.button("Copy as code").last.click()
    playground.page.locator("dialog").get_by_text(language, exact=True).click()
    playground.button("Copy the code", within=playground.page.locator("dialog")).click()
    expect(playground.page.locator("#status")).to_have_text("Copied.")
    code = playground.page.evaluate("() => navigator.clipboard.readText()")
    assert KEY not in code
    expected = '"ok": true' if asks_for == "schema" else "Answer."
    printed = run(code, *LANGUAGES[language])
    assert expected in printed.replace('\\"', '"')
    asked, again = (seen_of(request) for request in model.requests[1:])
    if language == "ChatEndpoint":
        again["stop"] = asked["stop"]  # it stops by itself, whatever the server does
    assert asked == again


def test_an_image_fits_into_the_copied_command(play: Play) -> None:
    """A request is copied for curl whole, however large: an image is more than an argument may hold."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    model = ChatScripted(replies=["A picture.", "A picture."], accepts={"image"})
    playground = play({"m": model})
    playground.paste(bytes(300_000))
    expect(playground.page.locator("#images img")).to_have_count(1)
    playground.ask(QUESTION)
    playground.button("Copy as code").click()
    assert "A picture." in run(playground.page.locator("dialog code").inner_text(), "sh")
    first, second = (request.openai_messages() for request in model.requests)
    assert first == second


def test_pages_without_a_clipboard_copy_too(play: Play) -> None:
    """A page that came without TLS from another machine has no clipboard of its own, and copies nevertheless."""
    playground = play({"m": ChatScripted(replies=["`copied`"])})
    playground.context.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    playground.page.reload()
    playground.ask("Hi")
    playground.button("Copy the answer").click()
    expect(playground.page.locator("#status")).to_have_text("Copied.")
    playground.message.focus()
    playground.page.keyboard.press("ControlOrMeta+v")
    expect(playground.message).to_have_value("`copied`")


class Sampled(ChatScripted):
    """Scripted, and with parameters."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


def seen_of(request: Any) -> dict[str, Any]:
    """What a model sees of a request."""
    names = ("temperature", "top_p", "max_tokens", "seed")
    messages = request.openai_messages()
    for message in messages:
        message.pop("reasoning_content", None)
    return {
        "messages": messages,
        "stop": list(request.stop),
        "tools": request.openai_tools(),
        "schema": request.schema,
        **{name: request.params.get(name) for name in names},
    }
