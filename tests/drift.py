"""What langchain-core offers to a chat model, and the list of it that one of us has looked through.

    python -m tests.drift    # rewrites the list: `make drift`

A name of the list may be marked: `RefusalError since 1.8.4` is not there in older versions of langchain-core,
`old_hook before 1.8.4` is not there in that version and newer ones. So one list holds at both ends of the range.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, get_type_hints

import langchain_core.version
import pydantic
from langchain_core import exceptions, messages
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages.content import KNOWN_BLOCK_TYPES
from packaging.version import Version

RECORD: Final = Path(__file__).with_name("langchain_core_names.txt")
INSTALLED: Final = Version(langchain_core.version.VERSION)

HEAD: Final = (
    "# What langchain-core offers to a chat model, and one of us has looked at. `make drift` rewrites this list.\n"
)

Names = Mapping[str, set[str]]
"""The names of each group."""


# --- what there is ---


def public_modules() -> Iterator[str]:
    """The modules without an underscore, found as files: importing some of them takes packages that are not here."""
    root = Path(langchain_core.__path__[0])
    for file in root.rglob("*.py"):
        parts = [part for part in file.relative_to(root.parent).with_suffix("").parts if part != "__init__"]
        if not any(part.startswith("_") for part in parts):
            yield ".".join(parts)


def exception_classes() -> Iterator[str]:
    """The exceptions, and what stands beside them: codes."""
    for name, value in vars(exceptions).items():
        if isinstance(value, type) and value.__module__ == exceptions.__name__:
            yield name


def model_methods() -> Iterator[str]:
    """The methods and properties of a chat model: the public ones, and the hooks with an underscore."""
    for cls in BaseChatModel.__mro__:
        if not cls.__module__.startswith("langchain_core."):
            continue
        has_hooks = cls.__module__.startswith(
            "langchain_core.language_models."
        )  # Runnable's own are no model's concern
        for name, value in vars(cls).items():
            is_method = callable(value) or isinstance(value, property | classmethod | staticmethod)
            is_wanted = not name.startswith("__" if has_hooks else "_")
            if is_method and is_wanted and not hasattr(pydantic.BaseModel, name):
                yield name


GROUPS: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "langchain_core.messages": lambda: messages.__all__,
    "types of content blocks": lambda: KNOWN_BLOCK_TYPES,
    "langchain_core.exceptions": exception_classes,
    "fields of BaseChatModel": lambda: BaseChatModel.model_fields,
    "methods of BaseChatModel": model_methods,
    "keys of ModelProfile": lambda: get_type_hints(ModelProfile),
    "modules": public_modules,
}


def names_of_core() -> Names:
    """What the installed langchain-core offers, by group."""
    return {group: set(find()) for group, find in GROUPS.items()}


# --- what is recorded ---

Marks = dict[str, dict[str, str]]
"""For each group its names, each with its mark: "", "since 1.8.4" or "before 1.8.4"."""


def read_record(text: str) -> Marks:
    """The list in `text`."""
    record: Marks = {}
    for line in text.splitlines():
        if line.startswith("["):
            group = record.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, group[name] = line.partition(" ")
    return record


def write_record(record: Marks) -> str:
    """`record` as text, one name a line."""
    lines = [HEAD]
    for group, marks in record.items():
        lines += [f"\n[{group}]\n", *(f"{name} {mark}".rstrip() + "\n" for name, mark in sorted(marks.items()))]
    return "".join(lines)


def names_at(record: Marks, version: Version) -> Names:
    """What langchain-core offers in `version`, as the record has it."""
    return {group: {name for name in marks if is_there(marks[name], version)} for group, marks in record.items()}


def is_there(mark: str, version: Version) -> bool:
    """Whether a name with this mark is there in `version`."""
    word, _, limit = mark.partition(" ")
    return not word or (version < Version(limit)) == (word == "before")


def drift(record: Marks, found: Names, version: Version) -> list[str]:
    """A sentence for each name that langchain-core has in `version` and the record has not, or the other way round."""
    recorded = names_at(record, version)
    new = [(group, name) for group, names in found.items() for name in sorted(names - recorded.get(group, set()))]
    gone = [(group, name) for group, names in recorded.items() for name in sorted(names - found.get(group, set()))]
    core = f"langchain-core {version}"
    return [
        *(
            f"{core} brings {name} ({group}): look whether a statement or a note of ours must name it, "
            "then `make drift` records it"
            for group, name in new
        ),
        *(
            f"{core} no longer has {name} ({group}): look whether anything of ours uses it, "
            "then `make drift` records it"
            for group, name in gone
        ),
    ]


def update(record: Marks, found: Names, version: Version) -> Marks:
    """The record, with the names that are new in `version`, or gone from it, marked so."""
    recorded = names_at(record, version)
    updated = {group: dict(marks) for group, marks in record.items()}
    for group, names in found.items():
        marks = updated.setdefault(group, {})
        # A name that went and came back counts as one that was always there: a mark tells of one change.
        marks |= {name: "" if name in marks else f"since {version}" for name in names - recorded.get(group, set())}
        marks |= dict.fromkeys(recorded.get(group, set()) - names, f"before {version}")
    return updated


def main() -> None:
    """Say what has changed, and record it."""
    record, found = read_record(RECORD.read_text(encoding="utf-8")), names_of_core()
    for sentence in drift(record, found, INSTALLED):
        print(sentence, file=sys.stderr)  # noqa: T201 - a command's report
    RECORD.write_text(write_record(update(record, found, INSTALLED)), encoding="utf-8")


if __name__ == "__main__":
    main()
