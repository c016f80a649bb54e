"""Conversations at the playground: versions of turns, two models, and the history that the browser keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.playground.playground import Playground
from tests.playground.spoken import in_steps

from langplug import Reasoning, ToolCall, Usage
from langplug.models import ChatScripted

expect = pytest.importorskip("playwright.sync_api").expect

Play = Callable[..., Playground]


def contents(request: Any) -> list[Any]:
    """What the messages of a request say."""
    return [message.content for message in request.messages]


# --- versions ---


def test_a_question_is_asked_otherwise(play: Play) -> None:
    """An edited question begins a branch beside the first; each has its own answers, and one goes on from either."""
    model = ChatScripted(replies=["A1", "A2", "B1", "A3"])
    playground = play({"m": model})
    playground.ask("One")
    playground.ask("Two")
    playground.button("Edit and ask again").first.click()
    field = playground.field("Your message")
    expect(field).to_be_focused()
    expect(field).to_have_value("One")
    field.fill("Uno")
    field.press("Enter")
    expect(playground.questions).to_have_text(["Uno"])
    assert playground.text == "B1"
    expect(playground.page.locator(".question")).to_contain_text("2 of 2")
    playground.button("Previous version").click()
    expect(playground.questions).to_have_text(["One", "Two"])
    expect(playground.button("Previous version")).to_be_focused()
    playground.ask("Three")
    assert contents(model.requests[2]) == ["Uno"]
    assert contents(model.requests[3]) == ["One", "A1", "Two", "A2", "Three"]


def test_an_edit_can_be_left(play: Play) -> None:
    """Escape and Cancel leave a question as it was, and stop no answer; an answer's end leaves who is writing."""
    model = in_steps("One.", "Two.")
    playground = play({"m": model})
    playground.ask("Hi", wait=False)
    model.steps.release()
    for leave in (lambda: playground.page.keyboard.press("Escape"), playground.button("Cancel").click):
        playground.button("Edit and ask again").click()
        playground.field("Your message").fill("Bye")
        leave()
        expect(playground.questions).to_have_text(["Hi"])
        expect(playground.button("Edit and ask again")).to_be_focused()
    playground.button("Edit and ask again").click()
    playground.field("Your message").fill("Still writing")
    model.steps.release()
    assert playground.text == "One.Two."
    expect(playground.field("Your message")).to_have_value("Still writing")
    expect(playground.field("Your message")).to_be_focused()


def test_an_answer_is_given_again(play: Play) -> None:
    """Another answer to the same question, by whichever model is chosen then; both can be looked at."""
    first, second = ChatScripted(replies=["Mine."]), ChatScripted(replies=["Mine, too."])
    playground = play({"first": first, "second": second})
    playground.ask("Whose?")
    playground.choose("second")
    playground.button("Answer again").click()
    assert playground.text == "Mine, too."
    expect(playground.answers).to_contain_text("2 of 2")
    assert contents(second.requests[0]) == ["Whose?"]
    playground.button("Next version").click()  # round to the first
    assert playground.text == "Mine."


# --- two models ---


def test_the_second_model_knows_what_was_said(play: Play) -> None:
    """A second model takes up the conversation as it is; apart again, both are conversations of their own."""
    one, two = ChatScripted(replies=["I.", "I again."]), ChatScripted(replies=["You."])
    playground = play({"one": one, "two": two})
    playground.ask("Who?")
    playground.button("Compare two models").click()
    expect(playground.page.locator(".pane")).to_have_count(2)
    playground.choose("two", pane=1)
    playground.ask("And now?")
    assert contents(two.requests[0]) == ["Who?", "I.", "And now?"] == contents(one.requests[1])
    panes = playground.page.locator(".pane")
    expect(panes.nth(1).locator(".markdown").last).to_have_text("You.")
    playground.button("Raw frames", within=panes.nth(1)).first.click()
    expect(playground.page.locator("dialog code")).to_contain_text("[DONE]")
    playground.page.keyboard.press("Escape")
    playground.button("One model only", within=panes.nth(1)).click()
    expect(panes).to_have_count(1)
    listed = playground.page.locator("#list .open")
    expect(listed).to_have_text(["Who?", "Who?"])
    texts = set()
    for number in range(2):
        listed.nth(number).click()
        expect(listed.nth(number)).to_have_attribute("aria-current", "true")
        texts.add(playground.text)
    assert texts == {"I again.", "You."}


def test_a_second_model_while_the_first_answers(play: Play) -> None:
    """What a second model takes up of an answer that is being given is as one that was stopped; the first goes on."""
    model = in_steps("Half ", "and whole.")
    playground = play({"m": model})
    playground.ask("Speak", wait=False)
    model.steps.release()
    expect(playground.answers.locator(".markdown")).to_have_text("Half")
    playground.button("Compare two models").click()
    expect(playground.page.locator(".pane").nth(1)).to_contain_text("Stopped.")
    model.steps.release()
    playground.wait()
    expect(playground.answers.locator(".markdown")).to_have_text(["Half and whole.", "Half"])


# --- the history ---


def test_a_reload_keeps_everything(play: Play) -> None:
    """After a reload the conversation is open as it was, with its versions and settings, and one can go on in it."""
    model = ChatScripted(replies=[[Reasoning("Hm."), "One"], "Two", "Three"])
    playground = play({"m": model})
    playground.set("System prompt", "Be kind.")
    playground.ask("Say")
    playground.button("Answer again").click()
    playground.wait()
    playground.page.reload()
    assert playground.text == "Two"
    expect(playground.message).to_be_focused()
    expect(playground.field("System prompt")).to_have_value("Be kind.")
    playground.set("Stop sequences, one a line", "END")  # changes this alone
    expect(playground.answers).to_contain_text("2 of 2")
    playground.button("Previous version").click()
    assert playground.text == "One"
    expect(playground.answers.locator(".reasoning div")).to_have_text("Hm.")
    playground.ask("Go on")
    assert contents(model.requests[2]) == ["Be kind.", "Say", "One", "Go on"]


def test_an_answer_that_a_reload_cut_off_is_kept(play: Play) -> None:
    """What had come of an answer when the page went is there afterwards, as one that was stopped."""
    model = in_steps("Half.", "Whole.")
    playground = play({"m": model})
    playground.ask("Say", wait=False)
    model.steps.release()
    expect(playground.answers.last.locator(".markdown")).to_have_text("Half.")
    playground.page.reload()
    assert model.has_ended.wait(10)
    expect(playground.answers.last).to_contain_text("Stopped.")
    assert playground.text == "Half."


def test_two_tabs_go_on_in_one_conversation(play: Play) -> None:
    """What is asked in one tab is there in the other, which goes on from it instead of writing over it."""
    model = ChatScripted(replies=["a", "b", "c"])
    playground = play({"m": model})
    playground.ask("One")
    other = Playground(playground.context, playground.base)
    other.button("One").click()
    expect(other.answers).to_have_count(1)
    playground.set("System prompt", "Be kind.")
    playground.ask("Two")
    expect(other.answers.locator(".markdown")).to_have_text(["a", "b"])
    other.button("Show settings").click()
    expect(other.field("System prompt")).to_have_value("Be kind.")
    other.ask("Three")
    assert contents(model.requests[2]) == ["Be kind.", "One", "a", "Two", "b", "Three"]
    expect(playground.answers.locator(".markdown")).to_have_text(["a", "b", "c"])


def test_conversations_are_listed_opened_and_deleted(play: Play) -> None:
    """Conversations are listed by their first words, newest first; deleting one asks first, and forgets it for good."""
    playground = play({"m": ChatScripted(replies=["a", "b"])})
    playground.ask("First things first")
    playground.button("New conversation").click()
    expect(playground.answers).to_have_count(0)
    playground.ask("Then others")
    listed = playground.page.locator("#list .open")
    expect(listed).to_have_text(["Then others", "First things first"])
    listed.nth(1).click()
    expect(playground.questions).to_have_text(["First things first"])
    playground.button("Delete “First things first”").click()
    playground.button("Cancel").click()
    expect(listed).to_have_count(2)
    playground.button("Delete “First things first”").click()
    playground.button("Delete").click()
    expect(listed).to_have_text(["Then others"])
    expect(playground.answers).to_have_count(0)
    playground.page.reload()
    expect(listed).to_have_text(["Then others"])
    with playground.page.expect_download() as download:
        playground.button("Export").click()
    exported = json.loads(download.value.path().read_text())
    assert [one["title"] for one in exported["conversations"]] == ["Then others"]
    assert len(exported["frames"]) == 1


def test_export_and_import_are_a_round_trip(play: Play, tmp_path: Path) -> None:
    """What is exported from one browser and imported into another is the same there, and exports the same again."""
    call = ToolCall(name="look", args={"at": "é"}, id="c")
    usage = Usage(input_tokens=1, output_tokens=2)
    replies = [[Reasoning("Hm."), call], ["Seen.", usage], ValueError("No."), "Other."]
    playground = play({"m": ChatScripted(replies=replies, tool_calling="native", max_retries=0)})
    playground.expected = ("Failed to load resource: the server responded with a status of 400",)
    playground.set("Tools, a list as the API takes it", '[{"type": "function", "function": {"name": "look"}}]')
    playground.ask("Look")
    playground.field("Result of look").fill("a cat")
    playground.button("Send the results").click()
    assert playground.text == "Seen."
    playground.ask("Fail")
    playground.button("New conversation").click()
    playground.button("Compare two models").click()
    first = exported(playground, tmp_path / "first.json")
    assert first["format"] == "langplug-playground"
    assert first["version"] == 1

    other = play({"m": ChatScripted(replies=["Fine."])})
    other.page.locator("#import-file").set_input_files(tmp_path / "first.json")
    expect(other.page.locator("#status")).to_have_text("Imported conversations: 1.")
    other.button("Look").click()
    expect(other.page.locator(".error")).to_contain_text("No.")
    expect(other.page.locator(".given")).to_contain_text("a cat")
    assert exported(other, tmp_path / "second.json") == first
    other.button("Answer again").last.click()
    assert other.text == "Fine."


def exported(playground: Playground, path: Path) -> dict[str, Any]:
    """What the page exports, which is written to `path` as well."""
    with playground.page.expect_download() as download:
        playground.button("Export").click()
    download.value.save_as(path)
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


NODE: dict[str, Any] = {"id": "root", "parent": None, "role": "root", "children": [], "shown": None}


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "null",
        "[]",
        '{"format": "another", "version": 1, "conversations": []}',
        '{"format": "langplug-playground", "version": 2, "conversations": []}',
        '{"format": "langplug-playground", "version": 1, "conversations": [null]}',
        '{"format": "langplug-playground", "version": 1, "conversations": [{"id": "x", "threads": []}]}',
        *(
            json.dumps(
                {
                    "format": "langplug-playground",
                    "version": 1,
                    "conversations": [{"id": "x", "threads": [{"model": "m", "nodes": nodes}]}],
                }
            )
            for nodes in (
                {},
                {"root": {**NODE, "children": ["a"]}},
                {"root": {**NODE, "children": ["root"]}},
                {"root": NODE, "a": {**NODE, "id": "a"}},
                {"root": {**NODE, "role": "user"}},
                {"root": {**NODE, "role": "wizard"}},
            )
        ),
    ],
)
def test_a_file_that_is_no_export_changes_nothing(play: Play, tmp_path: Path, text: str) -> None:
    """Another file, a newer one, and one whose turns hang together in no tree, are refused as a whole."""
    playground = play({"m": ChatScripted(replies=["a"])})
    playground.ask("Stays")
    file = tmp_path / "file.json"
    file.write_text(text)
    playground.page.locator("#import-file").set_input_files(file)
    expect(playground.page.locator("#notice")).to_contain_text("This is not a file that “Export” has written")
    expect(playground.page.locator("#list .open")).to_have_text(["Stays"])


def test_frames_that_are_none_are_left_out(play: Play, tmp_path: Path) -> None:
    """A file is read as a whole, or not at all: whatever stands in place of an answer's frames."""
    playground = play({"m": ChatScripted(replies=["One."])})
    playground.ask("Say")
    file = exported(playground, tmp_path / "file.json")
    (answer,) = file["frames"]
    wrong: Any
    for wrong in ("x", [1, None, {}, [2]]):
        (tmp_path / "file.json").write_text(json.dumps({**file, "frames": {answer: wrong}}))
        playground.page.locator("#import-file").set_input_files(tmp_path / "file.json")
        expect(playground.page.locator("#status")).to_have_text("Imported conversations: 1.")
        playground.page.locator("#status").evaluate("(status) => status.replaceChildren()")
        assert playground.text == "One."


def test_a_browser_without_room_says_so(play: Play) -> None:
    """Where the browser has no room left, that is said, and the answer is shown as ever."""
    playground = play({"m": ChatScripted(replies=["a"])})
    full = "IDBObjectStore.prototype.put = () => { throw new DOMException('No room.', 'QuotaExceededError'); }"
    playground.page.evaluate(f"() => {{ {full} }}")
    playground.ask("One")
    assert playground.text == "a"
    expect(playground.page.locator("#notice")).to_have_text("This browser could not save the conversation (No room.).")


@pytest.mark.parametrize("missing", [["indexedDB"], ["indexedDB", "localStorage", "sessionStorage"]])
def test_the_page_works_where_nothing_is_kept(play: Play, missing: list[str]) -> None:
    """A browser that refuses to keep anything has conversations for as long as the page is open, and is told so."""
    playground = play({"m": ChatScripted(replies=["a", "b"])})
    refuse = "{ get() { throw new DOMException('Denied.', 'SecurityError'); } }"
    for name in missing:
        playground.context.add_init_script(f"Object.defineProperty(window, '{name}', {refuse})")
    playground.page.reload()
    expect(playground.page.locator("#notice")).to_contain_text("This browser keeps no conversations")
    playground.ask("One")
    playground.button("New conversation").click()
    playground.ask("Two")
    playground.button("One").click()
    expect(playground.questions).to_have_text(["One"])
    assert playground.text == "a"
