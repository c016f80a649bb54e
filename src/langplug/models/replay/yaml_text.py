"""YAML as cassettes are written: plain to read, the same again when it is read back, and nothing but data."""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

# libyaml's are ten times as fast, and not in each build of PyYAML.
_FastDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LINES: Final = re.compile(r"\S[^\r\x85\u2028\u2029\t]*\S")
_PADDED: Final = re.compile(r"[ \n]\n|\n ")
_PLAIN: Final = re.compile(r"[\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd]*")


def _write_text(dumper: Any, text: str) -> Any:
    """Several lines as a block, where nothing in them can be lost so."""
    is_block = "\n" in text and _LINES.fullmatch(text) and not _PADDED.search(text) and _PLAIN.fullmatch(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if is_block else None)


def _without_guesses(loader: Any) -> dict[str, Any]:
    """The rules by which plain words are read, without dates, and without `no` and `off` for false."""
    rules: dict[str, Any] = {}
    for first, pairs in loader.yaml_implicit_resolvers.items():
        kept = [(tag, rule) for tag, rule in pairs if tag.rpartition(":")[2] not in ("bool", "timestamp", "value")]
        rules[first] = kept
    truth = re.compile(r"true|True|false|False")
    for first in "tTfF":
        rules[first] = [("tag:yaml.org,2002:bool", truth), *rules.get(first, ())]
    return rules


class _Dumper(_FastDumper):  # type: ignore[misc] # whichever it is
    """Writes texts of several lines as blocks, and nothing as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _ExactDumper(yaml.SafeDumper):
    """For what libyaml cannot write: half a character of two, as a stream may be cut."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(_FastLoader):  # type: ignore[misc] # whichever it is
    yaml_implicit_resolvers = _without_guesses(_FastLoader)


class _ExactLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = _without_guesses(yaml.SafeLoader)


for _dumper in (_Dumper, _ExactDumper):
    _dumper.add_representer(str, _write_text)


def to_yaml(data: Any) -> str:
    """`data` as one document."""
    layout: Any = {"allow_unicode": True, "sort_keys": False, "width": 2**30, "default_flow_style": False}
    try:
        return str(yaml.dump(data, Dumper=_Dumper, **layout))
    except UnicodeEncodeError:
        return str(yaml.dump(data, Dumper=_ExactDumper, **layout))


def documents(text: str) -> Iterator[tuple[int, Any]]:
    """Each document of a text, and the line on which it begins.

    Raises:
        yaml.YAMLError: If it is not YAML, or holds more than data.
    """
    try:
        yield from list(_read(text, _Loader))
    except yaml.YAMLError:
        yield from _read(text, _ExactLoader)


def _read(text: str, kind: Any) -> Iterator[tuple[int, Any]]:
    loader = kind(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            yield node.start_mark.line + 1, loader.construct_document(node)
    finally:
        loader.dispose()
