"""langchain-core's public names are those that one of us has looked at; a new or a vanished one is noticed."""

import pytest
from packaging.version import Version
from tests.drift import INSTALLED, RECORD, drift, names_of_core, read_record, update, write_record

RECORDED = read_record(RECORD.read_text(encoding="utf-8"))

OLD, NEW = Version("1.8.0"), Version("1.9.0")
SMALL = {"exceptions": {"ModelError": "", "NewError": "since 1.9.0", "OldError": "before 1.9.0"}}


def test_langchain_core_offers_what_is_recorded() -> None:
    """langchain-core has brought nothing, and taken nothing away, that nobody has looked at."""
    complaints = drift(RECORDED, names_of_core(), INSTALLED)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("langchain_core.messages", "AIMessageChunk"),
        ("types of content blocks", "reasoning"),
        ("langchain_core.exceptions", "ModelRefusalError"),
        ("fields of BaseChatModel", "rate_limiter"),
        ("methods of BaseChatModel", "_astream"),
        ("methods of BaseChatModel", "bind_tools"),
        ("methods of BaseChatModel", "astream_events"),
        ("keys of ModelProfile", "tool_calling"),
        ("modules", "langchain_core.messages.content"),
    ],
)
def test_the_record_covers(group: str, name: str) -> None:
    """Each group holds the names that a chat model meets: what is looked at has not become empty."""
    assert name in names_of_core()[group]
    assert name in RECORDED[group]


@pytest.mark.parametrize(
    ("names", "version", "sentence"),
    [
        ({"ModelError", "OldError"}, OLD, None),
        ({"ModelError", "NewError"}, NEW, None),
        ({"ModelError", "OldError", "Extra"}, OLD, "1.8.0 brings Extra (exceptions): look whether a statement"),
        ({"ModelError", "NewError", "OldError"}, NEW, "1.9.0 brings OldError (exceptions)"),
        ({"NewError"}, NEW, "1.9.0 no longer has ModelError (exceptions): look whether anything of ours uses it"),
        ({"ModelError"}, NEW, "1.9.0 no longer has NewError (exceptions)"),
    ],
)
def test_one_name_too_many_or_too_few_is_reported(names: set[str], version: Version, sentence: str | None) -> None:
    """What a version has and the record has not for it, or the other way round, is one sentence."""
    complaints = drift(SMALL, {"exceptions": names}, version)
    assert (0 if sentence is None else 1) == len(complaints)
    assert all(f"langchain-core {sentence}" in complaint for complaint in complaints)


def test_a_new_group_is_reported() -> None:
    """The names of a group that the record lacks are new, and those of a group that is gone are missed."""
    (new,) = drift({}, {"keys": {"name"}}, NEW)
    assert "brings name (keys)" in new
    assert 2 == len(drift(SMALL, {}, NEW))


def test_recording_marks_what_has_changed() -> None:
    """Once recorded, a version has no drift, older ones neither, and the text of a record says all of it."""
    found = {"exceptions": {"ModelError", "OldError", "Extra"}, "keys": {"name"}}
    updated = update(SMALL, found, NEW)
    assert {
        "exceptions": {"Extra": "since 1.9.0", "ModelError": "", "NewError": "before 1.9.0", "OldError": ""},
        "keys": {"name": "since 1.9.0"},
    } == updated
    assert [] == drift(updated, found, NEW)
    assert updated == read_record(write_record(updated))


def test_the_record_is_in_order() -> None:
    """The list is as `make drift` writes it: sorted, nothing twice."""
    assert RECORD.read_text(encoding="utf-8") == write_record(RECORDED)
