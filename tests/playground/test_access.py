"""Everybody can use the playground: by keyboard, by ear, on small windows, in both languages, light and dark."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.playground.playground import Playground
from tests.playground.spoken import in_steps

from langplug import Reasoning, ToolCall
from langplug.models import ChatScripted

expect = pytest.importorskip("playwright.sync_api").expect

Play = Callable[..., Playground]

LONG = "A_very_long_word_" * 30
RICH = f"# Title\n\n{LONG}\n\n| {LONG} | b |\n|--|--|\n| 1 | 2 |\n\n```py\n{LONG}\n```\n\n[{LONG}](http://e.example/)\n\n`{LONG}`"
NAMED_ROLES = {
    *("button", "link", "textbox", "searchbox", "combobox", "spinbutton", "radio", "checkbox", "listbox", "slider"),
    *("navigation", "complementary", "region", "dialog", "radiogroup"),
}


def test_the_keyboard_is_enough(play: Play) -> None:
    """Ask, read the reasoning, stop, edit, regenerate, look at frames and settings: Tab, Enter, Space and Escape do."""
    model = in_steps(Reasoning("Hm."), "Yes.")
    playground = play({"m": model})
    page, keys = playground.page, playground.page.keyboard
    expect(playground.message).to_be_focused()
    keys.type("One")
    keys.press("Shift+Enter")
    keys.type("two")
    expect(playground.message).to_have_value("One\ntwo")
    keys.press("Enter")
    expect(playground.questions).to_have_text(["One\ntwo"])
    model.steps.release(2)
    playground.wait()
    expect(playground.message).to_be_focused()
    expect(playground.message).to_have_value("")
    tab_to(playground, "Reasoning", back=True)
    keys.press("Enter")
    expect(page.locator(".reasoning div")).to_be_visible()
    tab_to(playground, "Raw frames")
    keys.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    keys.press("Escape")
    assert focused(playground) == "Raw frames"
    tab_to(playground, "Answer again", back=True)
    keys.press("Space")
    model.steps.release(2)
    playground.wait()
    expect(page.locator(".answer .tools")).to_contain_text("2 of 2")
    tab_to(playground, "Previous version", back=True)
    keys.press("Enter")
    expect(page.locator(".answer .tools")).to_contain_text("1 of 2")
    assert focused(playground) == "Previous version"
    tab_to(playground, "Edit and ask again", back=True)
    keys.press("Enter")
    keys.press("ControlOrMeta+a")
    keys.type("Three")
    keys.press("Enter")
    expect(playground.questions).to_have_text(["Three"])
    keys.press("Escape")
    expect(playground.answers).to_contain_text("Stopped.")
    tab_to(playground, "Show settings", back=True)
    keys.press("Enter")
    expect(page.locator("#settings")).to_be_visible()


def test_a_model_is_chosen_by_keyboard(play: Play) -> None:
    """Choosing a model leaves the keyboard where it is; what names the model follows."""
    playground = play({"one": ChatScripted(replies=[]), "two": ChatScripted(replies=["Two."])})
    model = playground.page.get_by_label("Model", exact=True)
    expect(playground.page.get_by_role("heading", name="Ask one")).to_be_visible()  # the page has begun
    model.focus()
    playground.page.keyboard.press("ArrowDown")
    expect(model).to_have_value("two")
    expect(model).to_be_focused()
    expect(playground.page.get_by_role("heading", name="Ask two")).to_be_visible()
    expect(playground.page.get_by_role("region", name="Conversation with two")).to_be_visible()
    playground.ask("Who?")
    assert playground.text == "Two."


def focused(playground: Playground) -> str:
    """What has the focus, by its name or its text."""
    named = "() => document.activeElement.ariaLabel || document.activeElement.innerText || document.activeElement.id"
    return str(playground.page.evaluate(named))


def tab_to(playground: Playground, name: str, *, back: bool = False) -> None:
    """Press Tab until what is called `name` has the focus, which can then be seen."""
    for _ in range(60):
        playground.page.keyboard.press("Shift+Tab" if back else "Tab")
        if focused(playground) == name:
            style = playground.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none"
            return
    raise AssertionError(f"{name!r} is not reached by Tab")


def test_the_enter_that_chooses_a_word_sends_nothing(play: Play) -> None:
    """While an input method composes a word, Enter is its own."""
    model = ChatScripted(replies=["好"])
    playground = play({"m": model})
    playground.message.fill("ni hao")
    for event in ({"key": "Enter", "isComposing": True}, {"key": "Enter", "keyCode": 229}):
        playground.message.dispatch_event("keydown", {**event, "bubbles": True, "cancelable": True})
    expect(playground.answers).to_have_count(0)
    playground.message.press("Enter")
    assert playground.text == "好"
    assert len(model.requests) == 1


def test_an_answer_is_read_out_at_its_end(play: Play) -> None:
    """A screen reader is told of an answer once, when it is whole; and errors are alerts."""
    model = in_steps("One ", "two.")
    playground = play({"m": model})
    status = playground.page.locator("#status")
    assert status.get_attribute("aria-live") == "polite"
    playground.page.evaluate(
        """() => {
            window.said = [];
            const note = () => said.push(document.getElementById("status").textContent);
            new MutationObserver(note).observe(document.getElementById("status"), { childList: true });
        }"""
    )
    playground.ask("Count", wait=False)
    model.steps.release()
    expect(playground.answers.last.locator(".markdown")).to_have_text("One")
    assert playground.page.locator("[aria-live] .answer, [role=log], [role=status] .answer").count() == 0
    model.steps.release()
    playground.wait()
    assert playground.page.evaluate("() => window.said") == ["m has answered: One two."]


def everything(playground: Playground) -> None:
    """Bring all that there can be onto the page: two models, calls, versions, an error, an image, the settings."""
    playground.set("Tools, a list as the API takes it", '[{"type": "function", "function": {"name": "look"}}]')
    playground.button("Compare two models").click()
    playground.choose("n", pane=1)
    playground.paste(b"\x89PNG", kind="image/png")
    expect(playground.page.locator("#images img")).to_have_count(1)
    playground.ask("What is it?")
    playground.button("Answer again").first.click()
    playground.wait()
    playground.paste(b"\x89PNG", kind="image/png")
    expect(playground.page.locator("#images img")).to_have_count(1)


def rich_models() -> dict[str, Any]:
    """Models whose answers have all that an answer can have."""
    call = ToolCall(name="look", args={"at": LONG}, id="c")
    rich = [[Reasoning(LONG), RICH, call]] * 3
    options = {"tool_calling": "native", "accepts": {"image"}, "max_retries": 0}
    return {"m": ChatScripted(replies=rich, **options), "n": ChatScripted(replies=[ValueError(LONG)] * 3, **options)}


def names_missing(playground: Playground) -> list[str]:
    """The controls and landmarks without a name, as the browser tells assistive technology."""
    session = playground.context.new_cdp_session(playground.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        f"{node['role']['value']} {node.get('properties')}"
        for node in nodes
        if not node.get("ignored")
        and node["role"]["value"] in NAMED_ROLES
        and not node.get("name", {}).get("value", "").strip()
    ]


def test_every_control_has_a_name(play: Play) -> None:
    """Whatever can be operated, and each landmark, has a name in either language; the page has its landmarks."""
    playground = play(rich_models())
    playground.expected = ("Failed to load resource: the server responded with a status of 400",)
    everything(playground)
    assert [] == names_missing(playground)
    for name in ("Raw frames", "Copy as code"):
        playground.button(name).first.click()
        assert [] == names_missing(playground)
        playground.page.keyboard.press("Escape")
    playground.field("Language").select_option("zh")
    assert [] == names_missing(playground)
    roles = {"banner", "main", "navigation", "complementary"}
    for role in roles:
        assert playground.page.get_by_role(role).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_its_ground(play: Play, scheme: str) -> None:
    """All text has a contrast of at least 4.5 with what is behind it, in both schemes."""
    playground = play(rich_models(), context={"color_scheme": scheme})
    playground.expected = ("Failed to load resource: the server responded with a status of 400",)
    everything(playground)
    faint = """() => {
        const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
            .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
        const ground = (element) => {
            for (let at = element; at; at = at.parentElement) {
                const colour = parts(getComputedStyle(at).backgroundColor);
                if (colour.length === 3 || colour[3] === 1) return colour;
            }
            return [255, 255, 255];
        };
        const shown = [...document.querySelectorAll("body *")].filter((element) =>
            element.checkVisibility({ opacityProperty: true }) && !element.matches(":disabled, .unseen, .unseen *") &&
            [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
        return shown.flatMap((element) => {
            const [one, other] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
            const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
            return contrast < 4.5 ? [`${element.className || element.tagName} ${contrast.toFixed(2)}`] : [];
        });
    }"""
    assert [] == playground.page.evaluate(faint)


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_a_small_window_is_enough(play: Play, language: str) -> None:
    """At 360 pixels nothing is wider than the window, panels cover the page, and one of two models is shown."""
    context = {"viewport": {"width": 360, "height": 640}, "locale": language, "has_touch": True}
    playground = play(rich_models(), context=context)
    playground.expected = ("Failed to load resource: the server responded with a status of 400",)
    page = playground.page
    page.locator("#compare").click()
    expect(page.locator(".pane")).to_have_count(2)
    playground.ask("Hi " + LONG)
    expect(page.locator(".pane").nth(1)).to_be_hidden()
    assert playground.overflow() <= 0
    page.locator("#shown label").nth(1).click()
    expect(page.locator(".pane").first).to_be_hidden()
    expect(page.locator(".pane").nth(1)).to_be_visible()
    for panel in ("history", "settings"):
        page.locator(f"#show-{panel}").click()
        expect(page.locator(f"#{panel}")).to_be_visible()
        assert playground.overflow() <= 0
        box = page.locator(f"#{panel}").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert page.locator("main").evaluate("(main) => main.inert")
        page.keyboard.press("Escape")
        expect(page.locator(f"#{panel}")).to_be_hidden()
        expect(page.locator(f"#show-{panel}")).to_be_focused()
        page.locator(f"#show-{panel}").click()
        page.mouse.click(359 if panel == "history" else 1, 320)  # beside it
        expect(page.locator(f"#{panel}")).to_be_hidden()
    page.locator("[data-label='action.copyAs']:visible").first.click()
    expect(page.locator("dialog")).to_be_visible()
    assert playground.overflow() <= 0


def test_a_conversation_is_deleted_in_a_small_window(play: Play) -> None:
    """A question that comes over a panel that covers the page can be answered; the panel stays, and goes by Escape."""
    playground = play({"m": ChatScripted(replies=["a"])}, context={"viewport": {"width": 360, "height": 640}})
    playground.ask("First")
    playground.button("Show conversations").click()
    delete = playground.button("Delete “First”")
    delete.click()
    playground.page.keyboard.press("Escape")
    expect(playground.page.locator("dialog")).to_be_hidden()
    expect(delete).to_be_focused()
    delete.click()
    playground.button("Delete").click()
    expect(playground.page.locator("#list li")).to_have_count(0)
    playground.button("Show conversations").click()
    playground.page.evaluate("() => document.activeElement.blur()")
    playground.page.keyboard.press("Escape")
    expect(playground.page.locator("#history")).to_be_hidden()


def test_both_languages(play: Play) -> None:
    """The browser's language is taken; another can be chosen, holds for all that is shown, and is remembered."""
    playground = play({"m": ChatScripted(replies=[[Reasoning("嗯"), "好"]])}, context={"locale": "zh-CN"})
    html = playground.page.locator("html")
    expect(html).to_have_attribute("lang", "zh")
    expect(playground.message).to_have_attribute("placeholder", "输入问题")
    playground.ask("你好")
    expect(playground.answers.locator("summary")).to_have_text("思考过程")
    playground.page.locator("#show-settings").click()
    playground.field("语言").select_option("en")
    expect(html).to_have_attribute("lang", "en")
    expect(playground.answers.locator("summary")).to_have_text("Reasoning")
    expect(playground.answers.locator(".metrics")).to_contain_text("first token")
    expect(playground.button("Show settings")).to_be_visible()
    playground.page.reload()
    expect(html).to_have_attribute("lang", "en")
    expect(playground.answers.locator("summary")).to_have_text("Reasoning")


def test_light_and_dark(play: Play) -> None:
    """The system's colours are taken, as they change; others can be chosen, and are remembered."""
    playground = play({"m": ChatScripted(replies=["-"])}, context={"color_scheme": "dark"})
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = playground.page.evaluate(ground)
    playground.page.emulate_media(color_scheme="light")
    light = playground.page.evaluate(ground)
    assert light != dark
    playground.button("Show settings").click()
    playground.field("Colours").select_option("dark")
    assert playground.page.evaluate(ground) == dark
    playground.page.reload()
    assert playground.page.evaluate(ground) == dark


def test_nothing_moves_for_who_wants_that(play: Play) -> None:
    """With prefers-reduced-motion, nothing is animated."""
    model = in_steps("-")
    playground = play({"m": model}, context={"reduced_motion": "reduce"})
    playground.ask("Hi", wait=False)
    expect(playground.answers.last.locator(".waiting")).to_be_visible()
    assert playground.page.evaluate("() => document.getAnimations().length") == 0
    playground.page.emulate_media(reduced_motion="no-preference")
    assert playground.page.evaluate("() => document.getAnimations().length") > 0
    model.steps.release()
    playground.wait()
