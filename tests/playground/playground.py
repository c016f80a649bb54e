"""What somebody does at the playground, in the words of its page."""

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request

LIMIT_MS = 20_000


class Playground:
    """The page at `base`, in a browser's context of its own.

    Attributes:
        page: The page, opened.
        asked: The addresses that any page of the context has asked for.
        complaints: What the pages have logged as errors, and raised.
        expected: Beginnings of complaints that this test brings about.
    """

    def __init__(self, context: "BrowserContext", base: str) -> None:
        self.base = base
        self.context = context
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        context.on("request", self._note_request)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.set_default_timeout(LIMIT_MS)
        self.page: Page = context.new_page()
        self.page.goto(f"{base}/")

    def _note_request(self, request: "Request") -> None:
        self.asked.append(request.url)

    def _note_console(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def check(self) -> None:
        """Nobody else was asked, and nothing went wrong; violations of the page's policy are logged, too."""
        own = (f"{self.base}/", "data:", "blob:")
        assert [] == [url for url in self.asked if not url.startswith(own)]
        assert [] == [text for text in self.complaints if not text.startswith(self.expected or ("\0",))]

    # --- what is on the page ---

    def button(self, name: str, within: "Locator | None" = None) -> "Locator":
        """A button by its name, exactly."""
        return (within or self.page.locator("body")).get_by_role("button", name=name, exact=True)

    def field(self, label: str) -> "Locator":
        """A field by its label, exactly."""
        return self.page.get_by_label(label, exact=True)

    @property
    def message(self) -> "Locator":
        """Where messages are written."""
        return self.page.locator("#message")

    @property
    def answers(self) -> "Locator":
        """The answers that are shown, oldest first."""
        return self.page.locator(".answer")

    @property
    def questions(self) -> "Locator":
        """The questions that are shown, oldest first."""
        return self.page.locator(".question .words")

    @property
    def text(self) -> str:
        """What the newest answer says, once it has ended."""
        self.wait()
        return str(self.answers.last.locator(".markdown").inner_text())

    # --- what is done ---

    def ask(self, text: str, *, wait: bool = True) -> None:
        """Send a message, and wait for the answers."""
        self.page.locator(".model:enabled").first.wait_for()  # the models are listed
        self.message.fill(text)
        self.message.press("Enter")
        if wait:
            self.page.locator(".answer").first.wait_for()
            self.wait()

    def wait(self) -> None:
        """Wait until no answer is being given."""
        self.page.locator("#send").wait_for()
        self.page.wait_for_function("() => !document.querySelector('.answer[aria-busy=true]')")

    def choose(self, model: str, pane: int = 0) -> None:
        """Choose the model that a pane asks."""
        self.page.get_by_label("Model", exact=True).nth(pane).select_option(model)

    def set(self, label: str, value: str) -> None:
        """Fill in a setting, and leave its field."""
        if not self.page.locator("#settings").is_visible():
            self.button("Show settings").click()
        self.field(label).fill(value)
        self.field(label).blur()

    def paste(self, data: bytes, kind: str = "image/png", name: str = "picture.png") -> None:
        """Paste a file into the message."""
        self.message.evaluate(
            """(field, [bytes, type, name]) => {
                const clipboardData = new DataTransfer();
                clipboardData.items.add(new File([new Uint8Array(bytes)], name, { type }));
                field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
            }""",
            [list(data), kind, name],
        )

    def module(self, name: str, body: str, argument: Any = None) -> Any:
        """What `body` returns, given a module of the page as `module` and `argument`."""
        source = f"async ([argument]) => {{ const module = await import('{self.base}/playground/{name}.js'); {body} }}"
        return self.page.evaluate(source, [argument])

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth"))

    def stored(self, where: Literal["localStorage", "sessionStorage"]) -> str:
        """All that the browser keeps in one of its storages, as text."""
        return str(self.page.evaluate(f"() => JSON.stringify({where})"))
