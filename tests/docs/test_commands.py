"""Commands that the pages show could be typed: verbs, options and targets of make are there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, all_pages, language, name_of, tokens_of

from langplug.cli import UsageError
from langplug.cli._main import parser_of
from langplug.cli._verbs import find_verb

TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def commands_of(page: str) -> Iterator[list[str]]:
    """The words of each command in the blocks of a page, one for each part of a pipe."""
    for token in tokens_of(page):
        if language(token) == "sh":
            for line in token.content.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words:
                    end = next((place for place, word in enumerate(words) if word in ("|", "&&", ";", "&")), len(words))
                    yield words[:end]
                    words = words[end + 1 :]


def complaint_of(command: list[str]) -> str | None:
    """What is wrong with a command, if we can tell."""
    match command:
        case ["langplug", verb, *arguments] if not verb.startswith("-"):
            ends = [place for place, word in enumerate(arguments) if word.startswith(("<", ">"))]
            try:
                parser_of(verb, find_verb(verb)).parse_all(arguments[: min(ends, default=None)])
            except UsageError as error:
                return str(error)
        case ["make", *words] if unknown := [word for word in words if "=" not in word and word not in TARGETS]:
            return f"make knows no {unknown[0]}"
        case _:
            pass
    return None


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_commands_could_be_typed(page: Path) -> None:
    """Each `langplug VERB …` is one that its verb takes, and each target of `make` is in the Makefile."""
    commands = commands_of(page.read_text(encoding="utf-8"))
    assert [] == [(" ".join(command), wrong) for command in commands if (wrong := complaint_of(command))]


@pytest.mark.parametrize("line", ["langplug chat --promt Hi", "langplug shout", "true && make coffee", "make test tea"])
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    """A wrong option, verb or target is noticed, wherever in the line."""
    assert [] != [command for command in commands_of(f"```sh\n{line}\n```\n") if complaint_of(command)]
