"""A model and the conversation with it: what one question and many have in common."""

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage

from langplug.cli import _exit
from langplug.cli._answer import Display, ShownAnswer
from langplug.cli._history import ChatHistory
from langplug.cli._parameters import for_a_call
from langplug.cli._terminal import Terminal


class Session:
    """A model, the conversation with it, and how it is asked.

    Attributes:
        model: The model.
        terminal: Where the conversation takes place.
        history: What has been said.
        parameters: The parameters of the next call, by name.
        shows_stats: Whether each answer is followed by its figures.
        last: The answer to the last prompt, as far as it came; None before the first prompt.
        unanswered: The last prompt, if it got no answer and so is not in `history`; None otherwise.
    """

    def __init__(
        self,
        model: BaseChatModel,
        terminal: Terminal,
        *,
        history: ChatHistory,
        parameters: Mapping[str, Any],
        shows_stats: bool = False,
    ) -> None:
        self.model = model
        self.terminal = terminal
        self.history = history
        self.parameters = dict(parameters)
        self.shows_stats = shows_stats
        self.last: ShownAnswer | None = None
        self.unanswered: str | None = None

    def answer(self, prompt: str) -> None:
        """Show the answer to `prompt` as it comes, and remember both. If Ctrl-C stops it, what came is remembered.

        Raises:
            KeyboardInterrupt: At Ctrl-C; the model's stream is closed by then.
            Exception: What the model raised; prompt and answer are not remembered.
        """
        answer = self.last = ShownAnswer()
        self.unanswered = prompt
        waiting = self.terminal.waiting("waiting for the answer")
        display = Display(self.terminal, waiting)
        try:
            with waiting:
                self._ask(prompt, answer, display)
            self._remember(prompt, answer.message())
        except KeyboardInterrupt:
            self._remember(prompt, answer.message())
            raise
        finally:
            display.end(answer.message())
            if self.shows_stats:
                self.terminal.note(answer.stats().line(), dim=True)

    def answer_as_json(self, prompt: str) -> None:
        """Print the answer to `prompt` as one line of JSON. If something is raised, what came before is printed too."""
        answer = ShownAnswer()
        error: str | None = None
        try:
            with self.terminal.waiting("waiting for the answer"):
                self._ask(prompt, answer)
        except BaseException as raised:
            error = _exit.error_text(raised)
            raise
        finally:
            self.terminal.answer(answer.as_json(error) + "\n")

    def _ask(self, prompt: str, answer: ShownAnswer, display: Display | None = None) -> None:
        messages = [*self.history.with_system(), HumanMessage(prompt)]
        answer.follow(self.model, messages, for_a_call(self.parameters), display.show if display else None)

    def _remember(self, prompt: str, message: AIMessage | None) -> None:
        # An empty answer is not remembered: many servers refuse a history with an empty message in it.
        if message is not None and message.content_blocks:
            self.history.add(prompt, message)
            self.unanswered = None
