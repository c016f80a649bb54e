"""Asking a model at the playground: streamed answers, reasoning, stopping, settings, images, errors."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.playground.playground import Playground
from tests.playground.spoken import in_steps
from tests.serve.served_models import until

from langplug import Finish, Reasoning, ToolCall, Usage
from langplug.models import ChatScripted
from langplug.models.scripted import Cut, Delay
from langplug.serve.served import Catalog

expect = pytest.importorskip("playwright.sync_api").expect

Play = Callable[..., Playground]

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_an_answer_appears_piece_by_piece(play: Play) -> None:
    """What a model has said is shown before it says the rest; reasoning is folded, and can be opened."""
    model = in_steps(Reasoning("Let me "), Reasoning("see."), "**One", "** and", " two.")
    playground = play({"m": model})
    playground.ask("Count", wait=False)
    answer = playground.answers.last
    model.steps.release()
    expect(answer.get_by_text("Reasoning …")).to_be_visible()
    expect(answer.get_by_text("Let me")).to_be_hidden()
    answer.get_by_text("Reasoning …").click()
    expect(answer.locator(".reasoning div")).to_have_text("Let me ")
    model.steps.release(2)
    expect(answer.locator(".markdown")).to_have_text("**One")
    model.steps.release()
    expect(answer.locator(".markdown strong")).to_have_text("One")
    model.steps.release()
    expect(answer.locator(".markdown")).to_have_text("One and two.")
    playground.wait()
    expect(answer.locator("summary")).to_have_text("Reasoning")
    expect(answer.locator(".reasoning div")).to_have_text("Let me see.")
    expect(answer.locator(".reasoning div")).to_be_visible()  # as it was opened


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_stop_stops_the_model(play: Play, way: str) -> None:
    """Stopping an answer ends the model's function; what came stays, and is told to the model when one goes on."""
    model = in_steps("Half a ", "sentence.")
    follower = ChatScripted(replies=["Yes."])
    playground = play({"m": model, "n": follower})
    playground.ask("Speak", wait=False)
    model.steps.release()
    expect(playground.answers.last.locator(".markdown")).to_have_text("Half a")
    if way == "button":
        playground.button("Stop").click()
    else:
        playground.page.keyboard.press("Escape")
    assert model.has_ended.wait(10)
    expect(playground.answers.last).to_contain_text("Stopped.")
    expect(playground.message).to_be_focused()
    playground.choose("n")
    playground.ask("Go on")
    assert [m.content for m in follower.requests[0].messages] == ["Speak", "Half a ", "Go on"]


def test_the_settings_are_what_the_model_is_asked(play: Play) -> None:
    """System prompt, parameters and stop strings go to the model as they are typed; an empty field asks nothing."""
    playground = play({"m": ChatScripted(replies=["a", "b"])})
    playground.ask("1")
    playground.set("System prompt", "Be brief.")
    playground.set("Temperature", "0.5")
    playground.set("Top p", "0.25")
    playground.set("Max tokens", "64")
    playground.set("Seed", "-7")
    playground.set("Stop sequences, one a line", "END\nFIN")
    playground.set("Reasoning effort", "low")
    with playground.page.expect_request("**/chat/completions") as second:
        playground.ask("2")
    body = second.value.post_data_json
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (
        body
        | {
            "temperature": 0.5,
            "top_p": 0.25,
            "max_tokens": 64,
            "seed": -7,
            "stop": ["END", "FIN"],
            "reasoning_effort": "low",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        == body
    )
    expect(playground.answers.last).to_contain_text("The model ignored:")


@pytest.mark.parametrize(
    ("label", "wrong", "said", "right"),
    [
        ("Temperature", "3", "Expected a number from 0 to 2.", "1"),
        ("Max tokens", "1.5", "Expected a whole number above 0.", "1"),
        ("JSON schema of the answer", "{", "This is not JSON:", '{"type": "object"}'),
        ("JSON schema of the answer", "[]", "Expected a JSON schema: an object.", ""),
        ("Tools, a list as the API takes it", "{}", "Expected a list of tools, each an object.", "[]"),
    ],
)
def test_nothing_is_sent_with_a_wrong_setting(play: Play, label: str, wrong: str, said: str, right: str) -> None:
    """A wrong setting is told at its field, which has the focus instead of a request being sent, until it is right."""
    model = ChatScripted(replies=["{}"])
    playground = play({"m": model})
    playground.set(label, wrong)
    playground.message.fill("Hi")
    playground.message.press("Enter")
    field = playground.field(label)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(playground.page.locator(f"#{field.get_attribute('aria-describedby')}")).to_contain_text(said)
    assert model.requests == []
    playground.set(label, right)
    playground.ask("Hi")
    assert len(model.requests) == 1


def test_a_schema_and_tools_are_sent_as_typed(play: Play) -> None:
    """The model gets the schema and the tools that are typed in the editors."""
    schema = {"type": "object", "properties": {"é": {"type": "integer"}}, "required": ["é"]}
    function = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    playground = play({"m": ChatScripted(replies=['{"é": 1}', "Done."])})
    playground.set("JSON schema of the answer", json.dumps(schema, indent=1))
    with playground.page.expect_request("**/chat/completions") as first:
        playground.ask("1")
    assert first.value.post_data_json["response_format"]["json_schema"]["schema"] == schema
    playground.set("JSON schema of the answer", "")
    playground.set("Tools, a list as the API takes it", json.dumps(tools))
    with playground.page.expect_request("**/chat/completions") as second:
        playground.ask("2")
    assert second.value.post_data_json["tools"] == tools
    assert "response_format" not in second.value.post_data_json


def test_a_call_of_a_tool_is_answered(play: Play) -> None:
    """Calls are shown with their arguments; typed results go on to the model with the calls that they belong to."""
    calls = [ToolCall(name="weather", args={"city": "Lisboa"}, id="c1"), ToolCall(name="clock", args={}, id="c2")]
    model = ChatScripted(replies=[[Reasoning("Hm."), *calls], "Sunny at noon."], tool_calling="native")
    playground = play({"m": model})
    tool = {"type": "function", "function": {"name": "weather"}}
    clock = {"type": "function", "function": {"name": "clock"}}
    playground.set("Tools, a list as the API takes it", json.dumps([tool, clock]))
    playground.ask("Weather?")
    expect(playground.answers.last.locator(".call").first).to_contain_text('"city": "Lisboa"')
    playground.field("Result of weather").fill("sunny")
    playground.field("Result of clock").fill("12:00")
    playground.button("Send the results").click()
    expect(playground.answers).to_have_count(2)
    assert playground.text == "Sunny at noon."
    expect(playground.page.locator(".given")).to_contain_text("sunny")
    expect(playground.button("Send the results")).to_have_count(0)
    _, asked, *results = model.requests[1].openai_messages()
    assert [call["id"] for call in asked["tool_calls"]] == ["c1", "c2"]
    assert [(result["tool_call_id"], result["content"]) for result in results] == [("c1", "sunny"), ("c2", "12:00")]


def test_the_command_serves_the_page(visit: Callable[..., Playground], tmp_path: Path) -> None:
    """`langplug serve FILE:MODEL` serves the page, and the model is asked from there."""
    (tmp_path / "shouting.py").write_text(
        "from langplug import Request, chat_model\n\n"
        "@chat_model\ndef shout(request: Request):\n    yield from request.text.upper()\n"
    )
    command = [sys.executable, "-m", "langplug", "serve", "shouting.py:shout", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = next(line for line in server.stderr if line.startswith("shout at "))
        playground = visit(said.split(" at ")[1].strip().removesuffix("/v1"))
        playground.ask("hello")
        assert playground.text == "HELLO"
        server.terminate()


def test_images_arrive(play: Play, tmp_path: Any) -> None:
    """Images that are pasted or chosen are shown, can be removed, and go to the model as they are."""
    model = ChatScripted(replies=["Two pictures.", "Again."], accepts={"image"})
    playground = play({"m": model})
    picture = tmp_path / "two.png"
    picture.write_bytes(PIXEL)
    playground.paste(PIXEL)
    playground.page.locator("#attach-file").set_input_files([picture, picture])
    expect(playground.page.locator("#images img")).to_have_count(3)
    playground.button("Remove image 2").click()
    expect(playground.page.locator("#images img")).to_have_count(2)
    playground.ask("What is this?")
    expect(playground.page.locator(".question img")).to_have_count(2)
    expect(playground.page.locator("#images img")).to_have_count(0)
    url = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    text, *images = model.requests[0].openai_messages()[0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert [image["image_url"]["url"] for image in images] == [url, url]


def test_an_image_that_a_model_refuses_is_taken_away(play: Play) -> None:
    """Where a model takes no images, the question is edited to do without them; one without words may keep its own."""
    model = ChatScripted(replies=["Words."])
    playground = play({"m": model})
    playground.expected = ("Failed to load resource: the server responded with a status of 400",)
    playground.paste(PIXEL)
    playground.paste(PIXEL)
    expect(playground.page.locator("#images img")).to_have_count(2)
    playground.ask("What is this?")
    edit = playground.page.locator(".edit")
    playground.button("Edit and ask again").click()
    playground.button("Remove image 1", within=edit).click()
    expect(edit.locator("textarea")).to_be_focused()
    edit.locator("textarea").fill("")
    playground.page.keyboard.press("Enter")
    expect(playground.page.locator(".question img")).to_have_count(1)
    playground.wait()
    playground.button("Edit and ask again").click()
    playground.button("Remove image 1", within=edit).click()
    playground.page.keyboard.press("Enter")  # neither words nor images
    edit.locator("textarea").fill("Hi")
    playground.page.keyboard.press("Enter")
    assert playground.text == "Words."
    assert [message.content for message in model.requests[0].messages] == ["Hi"]


def test_a_file_that_is_no_image_is_refused(play: Play) -> None:
    """A file of another type is not sent, and the page says so, until somebody has read it."""
    playground = play({"m": ChatScripted(replies=["-"])})
    playground.paste(b"<svg onload=alert(1)>", kind="image/svg+xml", name="evil.svg")
    notice = playground.page.locator("#notice")
    expect(notice).to_contain_text("“evil.svg” is not a PNG")
    expect(playground.page.locator("#images img")).to_have_count(0)
    playground.button("Close", within=notice).click()
    expect(notice).to_be_hidden()
    expect(playground.message).to_be_focused()


def test_an_image_is_dropped_anywhere(play: Play) -> None:
    """An image that is dropped beside the message is added to it; by itself a browser would leave the page for it."""
    playground = play({"m": ChatScripted(replies=["-"])})
    playground.page.locator(".model:enabled").wait_for()  # what is shown until then is made again
    prevented = playground.page.locator(".turns").evaluate(
        """(turns, bytes) => ["dragover", "drop"].map((name) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(bytes)], "picture.png", { type: "image/png" }));
            return !turns.dispatchEvent(new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true }));
        })""",
        list(PIXEL),
    )
    assert prevented == [True, True]
    expect(playground.page.locator("#images img")).to_have_count(1)


# --- what is told of an answer ---


def test_an_answer_says_what_it_cost(play: Play) -> None:
    """Times, tokens and their speed are shown; an answer that breaks off has its time, too, and no tokens are known."""
    replies = [["One ", "two ", "three", Usage(input_tokens=1234, output_tokens=3)], ["-", Delay(0.3), Cut("Cut.")]]
    playground = play({"m": ChatScripted(replies=replies)})
    playground.ask("1")
    told = playground.answers.last.locator(".metrics").inner_text()
    for part in ("first token ", "total ", " ms", "1,234 in", "3 out", " tokens/s"):
        assert part in told
    playground.ask("2")
    told = playground.answers.last.locator(".metrics").inner_text()
    assert "no tokens reported" in told
    assert "tokens/s" not in told
    assert int(told.split("total ")[1].split(" ms")[0]) >= 300


def test_speed_is_measured_after_the_first_token(play: Play) -> None:
    """Tokens a second: those after the first over the time that they took; of one piece, all over the whole time."""
    playground = play({"m": ChatScripted(replies=[])})
    measure = "return module.measure(argument).perSecond"
    usage = {"prompt_tokens": 9, "completion_tokens": 11}
    assert (
        playground.module("metrics", measure, {"times": {"first": 500, "last": 1500, "end": 1600}, "usage": usage})
        == 10
    )
    assert (
        playground.module("metrics", measure, {"times": {"first": 2000, "last": 2000, "end": 2200}, "usage": usage})
        == 5
    )
    assert (
        playground.module("metrics", measure, {"times": {"first": None, "last": None, "end": 9}, "usage": None}) is None
    )


def test_raw_frames_are_those_of_the_stream(play: Play) -> None:
    """The frames of an answer are shown as they came, with their times, after a reload too."""
    playground = play({"m": ChatScripted(replies=[["Hel", "lo"]])})
    playground.ask("Hi")
    for _ in range(2):
        playground.button("Raw frames").click()
        shown = playground.page.locator("dialog code").inner_text().strip().splitlines()
        assert shown[-1].endswith("  [DONE]")
        chunks = [
            json.loads(line.split("  ", 1)[1] if line[0] != " " else line.strip().split("  ", 1)[1])
            for line in shown[:-1]
        ]
        said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
        assert said == "Hello"
        playground.page.keyboard.press("Escape")
        expect(playground.page.locator("dialog")).to_be_hidden()
        playground.page.reload()
        expect(playground.answers).to_have_count(1)


def test_how_an_answer_ended_is_said(play: Play) -> None:
    """An answer that was cut off, and one without a word, say so."""
    playground = play({"m": ChatScripted(replies=[["A", Finish(reason="length")], ""])})
    playground.ask("1")
    expect(playground.answers.last).to_contain_text("Cut off: the answer reached the limit of tokens.")
    playground.ask("2")
    expect(playground.answers.last).to_contain_text("The answer is empty.")


# --- errors ---


def test_an_error_is_shown_with_its_request(play: Play) -> None:
    """An error before the answer, and one in its middle, are shown with the server's words and the request's id."""
    replies = [ValueError("Too many words."), ["Half", Cut("The cable was cut.")], "Whole."]
    playground = play({"m": ChatScripted(replies=replies, max_retries=0)})
    playground.expected = ("Failed to load resource: the server responded with a status of 400",)
    playground.ask("Hi")
    error = playground.page.get_by_role("alert").locator("visible=true")
    expect(error).to_contain_text("Too many words.")
    expect(error).to_contain_text("400")
    expect(error).to_contain_text("Request req_")
    playground.button("Try again").click()
    expect(error).to_contain_text("broke off before it was complete")
    expect(playground.answers.last.locator(".markdown")).to_have_text("Half")
    playground.button("Try again").click()
    expect(error).to_have_count(0)
    assert playground.text == "Whole."


def test_a_server_that_is_gone_is_said(play: Play) -> None:
    """A server that does not answer is told from one that refuses; so is a stream that ends too early."""
    playground = play({"m": ChatScripted(replies=["-"])})
    playground.expected = ("Failed to load resource: net::ERR_",)
    playground.page.route("**/chat/completions", lambda route: route.abort("connectionrefused"))
    playground.ask("Hi")
    expect(playground.answers.last).to_contain_text("The server cannot be reached.")
    playground.page.unroute("**/chat/completions")
    half = 'data: {"choices": [{"delta": {"content": "Half"}}]}\n\n'
    playground.page.route(
        "**/chat/completions", lambda route: route.fulfill(body=half, content_type="text/event-stream")
    )
    playground.button("Try again").click()
    expect(playground.answers.last).to_contain_text("The stream broke off before its end.")
    expect(playground.answers.last.locator(".markdown")).to_have_text("Half")


def test_what_is_asked_while_models_load_is_answered_later(play: Play) -> None:
    """While models are loaded, the page says so and asks again; what was asked is answered when they are there."""
    catalog = Catalog()
    playground = play(catalog)
    playground.expected = ("Failed to load resource: the server responded with a status of 503",)
    expect(playground.page.locator("#notice")).to_have_text("The models are being loaded.")
    catalog.fill({"m": ChatScripted(replies=["Here."])})
    expect(playground.page.locator("#notice")).to_be_hidden()
    catalog._served = {}
    playground.ask("Are you there?", wait=False)
    expect(playground.answers.last).to_contain_text("The models are still being loaded.")
    catalog.fill({"m": ChatScripted(replies=["Here."])})
    assert playground.text == "Here."


def test_a_key_is_asked_for(play: Play) -> None:
    """A server with a key has the page ask for it; it is sent, kept in this tab, and nowhere else."""
    playground = play({"m": ChatScripted(replies=["In."])}, api_key="sesame-42")
    playground.expected = ("Failed to load resource: the server responded with a status of 401",)
    expect(playground.field("API key")).to_be_focused()
    expect(playground.page.get_by_text("This server asks for a key.")).to_be_visible()
    playground.field("API key").fill("open")
    playground.field("API key").press("Enter")
    expect(playground.page.get_by_text("The server refused this key.")).to_be_visible()
    playground.field("API key").fill("sesame-42")
    playground.field("API key").press("Enter")
    expect(playground.page.get_by_label("Model", exact=True)).to_have_value("m")
    playground.ask("Open")
    assert playground.text == "In."
    playground.button("Copy as code").click()
    for language in ("curl", "OpenAI SDK", "ChatOpenAI", "ChatEndpoint"):
        playground.page.get_by_text(language, exact=True).click()
        code = playground.page.locator("dialog code").inner_text()
        assert "API_KEY" in code
        assert "sesame" not in code
    playground.page.keyboard.press("Escape")
    with playground.page.expect_download() as download:
        playground.button("Export").click()
    assert "sesame" not in download.value.path().read_text()
    assert "sesame" not in playground.stored("localStorage")


def test_a_server_that_is_another_by_now(play: Play) -> None:
    """A model that is not there any more has the page list those that are; a key that is refused, ask for another."""
    catalog = Catalog()
    catalog.fill({"old": ChatScripted(replies=[])})
    playground = play(catalog, api_key="first")
    refused = "Failed to load resource: the server responded with a status of"
    playground.expected = (f"{refused} 401", f"{refused} 404")
    playground.field("API key").fill("first")
    playground.field("API key").press("Enter")
    model = playground.page.get_by_label("Model", exact=True)
    expect(model).to_have_value("old")
    catalog.fill({"new": ChatScripted(replies=["Here."])})
    playground.ask("Are you there?")
    expect(playground.answers).to_contain_text("404")
    expect(model.locator("option")).to_have_text(["new", "old"])
    playground.choose("new")
    playground.page.route(
        "**/chat/completions",
        lambda route: route.fallback(headers={**route.request.headers, "authorization": "Bearer second"}),
    )
    playground.button("Try again").click()
    expect(playground.answers).to_contain_text("401")
    expect(playground.page.get_by_text("The server refused this key.")).to_be_visible()
    expect(playground.field("API key")).to_be_focused()


# --- much, and fast ---


def test_a_long_answer_stays_smooth(play: Play) -> None:
    """100,000 characters that come as fast as they can are shown whole, but never much of them in one frame."""
    words = [word for number in range(400) for word in (f"\n\n## Part {number}\n\n", *["lorem *ipsum* "] * 18)]
    playground = play({"m": ChatScripted(replies=[words, ["longer "] * 15_000])})
    watch = """() => {
        window.steps = [];
        let shown = 0;
        const look = () => {
            const length = document.querySelector(".turns").textContent.length;
            steps.push(length - shown);
            shown = length;
            requestAnimationFrame(look);
        };
        look();
    }"""
    playground.page.locator(".model:enabled").wait_for()
    playground.page.evaluate(watch)
    for question in ("blocks", "one paragraph"):
        playground.ask(question)
        steps: list[int] = playground.page.evaluate("() => window.steps.splice(0)")
        assert 0 < max(steps) < 20_000, question  # two draws, where the last falls into a frame
    assert playground.answers.first.locator("h4").count() == 400
    assert playground.answers.last.locator(".markdown").inner_text().count("longer") == 15_000


def test_a_reader_who_scrolls_up_stays_there(play: Play) -> None:
    """The end is followed until somebody scrolls up; a button leads back to it."""
    model = in_steps("line\n\n" * 100, "more\n\n" * 100)
    playground = play({"m": model})
    playground.ask("Go", wait=False)
    model.steps.release()
    turns = playground.page.locator(".turns")
    at_end = "(turns) => turns.scrollHeight - turns.scrollTop - turns.clientHeight < 2"
    until(lambda: bool(turns.evaluate("(turns) => turns.scrollTop > 0")) and bool(turns.evaluate(at_end)))
    turns.evaluate("(turns) => { turns.scrollTop = 10; }")
    expect(playground.button("To the end")).to_be_visible()
    model.steps.release()
    playground.wait()
    assert turns.evaluate("(turns) => turns.scrollTop") == 10
    playground.button("To the end").click()
    assert turns.evaluate(at_end)


def test_two_models_at_once(play: Play) -> None:
    """Two models are asked the same side by side, each at its own pace; one can be stopped while the other goes on."""
    slow, quick = in_steps("slow"), in_steps("quick")
    playground = play({"slow": slow, "quick": quick})
    playground.button("Compare two models").click()
    playground.choose("quick", pane=1)
    playground.ask("Race", wait=False)
    expect(playground.questions).to_have_count(2)
    quick.steps.release()
    expect(playground.page.locator(".pane").nth(1).locator(".markdown")).to_have_text("quick")
    playground.button("Stop this answer").click()
    assert slow.has_ended.wait(10)
    playground.wait()
    expect(playground.page.locator(".pane").first).to_contain_text("Stopped.")
    playground.page.reload()
    expect(playground.page.locator(".pane")).to_have_count(2)
    playground.button("One model only").first.click()
    expect(playground.page.locator(".pane")).to_have_count(1)
    expect(playground.page.locator("#list li")).to_have_count(2)


def test_a_conversation_goes_on_in_the_background(play: Play) -> None:
    """A conversation goes on in the background while another is open, and is there as a whole when one comes back."""
    model = in_steps("First ", "and last.")
    playground = play({"m": model, "other": ChatScripted(replies=["Meanwhile."])})
    playground.ask("Long question", wait=False)
    model.steps.release()
    expect(playground.answers.last.locator(".markdown")).to_have_text("First")
    playground.button("New conversation").click()
    playground.choose("other")
    playground.ask("Another")
    assert playground.text == "Meanwhile."
    playground.button("Long question").click()
    expect(playground.answers.last.locator(".markdown")).to_have_text("First")
    model.steps.release()
    assert playground.text == "First and last."
