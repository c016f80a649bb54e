"""What is asked: a small set of its own, rows of a file, or prompts of a length."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages

BUILT_IN: Final = (
    "Explain in a few sentences why the sky is blue.",
    "Write a short note that thanks a colleague for help with a report.",
    "List five things to check before a long journey by car.",
    "Summarise: the meeting is moved from Monday to Thursday because the room is being painted.",
    "What is the difference between a list and a tuple in Python?",
    "Give a recipe for pancakes, with amounts for two people.",
    "Translate into French: the train to the coast leaves at half past nine.",
    "A farmer has 17 sheep, and all but 9 run away. How many are left, and why?",
)
"""Prompts of everyday kinds, so that there is something to ask without a file."""

_WORDS: Final = ("river", "stone", "window", "garden", "letter", "market", "winter", "bridge", "silver", "forest")


def built_in() -> Iterator[list[BaseMessage]]:
    """The small set, again and again."""
    return ([HumanMessage(prompt)] for prompt in itertools.cycle(BUILT_IN))


def from_file(file: str) -> Iterator[list[BaseMessage]]:
    """The rows of a file, with `prompt` or `messages`, again and again.

    Raises:
        ValueError: If it has no rows, or one is wrong.
        OSError: If it cannot be read.
    """
    from langplug.batch import read_rows  # it takes a third of the time in which everything else is imported
    from langplug.batch.rows import as_dicts

    asked: list[list[BaseMessage]] = []
    for number, row in enumerate(read_rows(file), 1):
        if isinstance(row, Exception):
            raise ValueError(str(row))
        given: Any = row if isinstance(row, str) else row.get("messages") or row.get("prompt")
        if not given:
            raise ValueError(f"Row {number} of {file} has neither `prompt` nor `messages`.")
        plain = isinstance(given, str) and not given.lstrip().startswith("[")
        asked.append([HumanMessage(given)] if plain else convert_to_messages(as_dicts(given)))
    if not asked:
        raise ValueError(f"{file} has no rows: each is to have a `prompt` or `messages`")
    return itertools.cycle(asked)


def synthetic(model: Any, tokens: int) -> Iterator[list[BaseMessage]]:
    """Prompts of so many tokens, as the model counts them, each another, so that no cache of prefixes helps.

    Raises:
        ValueError: If there is no prompt so short.
    """
    generator = random.Random(0)  # noqa: S311 - the same in each run

    def words(count: int) -> list[str]:
        return [generator.choice(_WORDS) for _ in range(count)]

    def count_of(text: Sequence[str]) -> int:
        found: int = model.get_num_tokens_from_messages([HumanMessage(" ".join(text))])
        return found

    least = count_of(words(1))
    if tokens < least:
        raise ValueError(f"the shortest prompt has {least} tokens, so that none has {tokens}")
    per_word = (count_of(words(101)) - least) / 100
    length = 1 + round((tokens - least) / max(per_word, 0.1))

    def prompts() -> Iterator[list[BaseMessage]]:
        while True:
            yield [HumanMessage(" ".join(words(length)))]

    return prompts()
