"""A model and the conversation with it: what one question and many have in common."""

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from langplug.cli import _exit
from langplug.cli._answer import Display, ShownAnswer
from langplug.cli._conversation import Conversation
from langplug.cli._terminal import Terminal


class Session:
    """A model, the conversation with it, and how it is asked.

    Attributes:
        terminal: Where it takes place.
        conversation: What has been said.
        parameters: The parameters of the next call, by name.
        shows_stats: Whether each answer is followed by its figures.
        last: The answer to the last prompt, as far as it came; None before the first prompt.
        unanswered: A prompt that got no answer, and so is in no turn; None if the last one did.
    """

    def __init__(
        self,
        model: BaseChatModel,
        terminal: Terminal,
        *,
        conversation: Conversation,
        parameters: Mapping[str, Any],
        shows_stats: bool = False,
    ) -> None:
        self._model = model
        self.terminal = terminal
        self.conversation = conversation
        self.parameters = dict(parameters)
        self.shows_stats = shows_stats
        self.last: ShownAnswer | None = None
        self.unanswered: str | None = None

    def answer(self, prompt: str) -> None:
        """Show the answer to `prompt` as it comes, and remember the turn: the part that came, if Ctrl-C stops it.

        Raises:
            KeyboardInterrupt: At Ctrl-C; the model's stream is closed by then.
            Exception: What the model raised; the turn is not remembered.
        """
        answer = self.last = ShownAnswer()
        self.unanswered = prompt
        display = Display(self.terminal)
        try:
            self._follow(prompt, answer, display)
            self._remember(prompt, answer)
        except KeyboardInterrupt:
            self._remember(prompt, answer)
            raise
        finally:
            display.end(answer.message())
            if self.shows_stats:
                self.terminal.note(answer.stats().line(), dim=True)

    def answer_as_json(self, prompt: str) -> None:
        """Print the answer to `prompt` as one line of JSON; what came of it, too, where something is then raised."""
        answer = ShownAnswer()
        error: str | None = None
        try:
            self._follow(prompt, answer)
        except BaseException as raised:
            error = _exit.sentence(raised)
            raise
        finally:
            self.terminal.answer(answer.as_json(error) + "\n")

    def _follow(self, prompt: str, answer: ShownAnswer, display: Display | None = None) -> None:
        stop = self.parameters.get("stop")
        parameters = {**self.parameters, "stop": [stop]} if isinstance(stop, str) else self.parameters
        show = display.show if display else _show_nothing
        answer.follow(self._model, self.conversation.asking(prompt), parameters, show)

    def _remember(self, prompt: str, answer: ShownAnswer) -> None:
        message = answer.message()
        if message is not None and message.content_blocks:
            self.conversation.add_turn(prompt, message)
            self.unanswered = None


def _show_nothing(_: AIMessage) -> None:
    return
