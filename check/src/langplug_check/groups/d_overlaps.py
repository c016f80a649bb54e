"""Group D: stop strings whose beginning repeats in the text."""

from langplug_backend import Reply
from langplug_check.groups._runs import FOUR
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

_STOP = "--|"
_PIECES = ("say ", "-", "-", "-", "|", " and more")
"""Of the three dashes, the first is text: who takes it for the beginning of the stop string must begin again."""


@statement(
    "D06",
    "A stop string is found whose beginning stands right before it in the text, such as '--|' in '---|'.",
    why="A cut that starts over behind a false beginning misses the real one, and the model talks on.",
    hint="""
    # at each piece, look for the stop string in all of the text that is held back
    held += piece
    if (at := held.find(stop)) >= 0:
        yield chunk(held[:at])
        return
    """,
    needs=("replies",),
)
def overlapping_stop(subject: Subject) -> None:
    """Have it give such a text in pieces of one character, by each path."""
    text = "".join(_PIECES)
    at = text.index(_STOP)
    for outcome in subject.each_path(lambda: subject.says(Reply(pieces=_PIECES)), paths=FOUR, stop=[_STOP]):
        outcome.answer  # noqa: B018 - an error here is a failure
        if outcome.text not in (text[:at], text[: at + len(_STOP)]):
            raise Failed(f"{outcome.path} of {text!r} with stop=[{_STOP!r}] gave {outcome.text!r}", repr(text[:at]))
