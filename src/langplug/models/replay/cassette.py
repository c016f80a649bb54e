"""The file of a cassette: one YAML document that says what it is, then one for each recording.

What is recorded is added at the end, so that what a person has edited stays as it is, comments included. The file is
written beside itself and then moved into its place, by one thread of one process at a time: at any moment, a whole
cassette is there.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import yaml

from langplug._suggest import did_you_mean
from langplug.models.file_locks import exclusive
from langplug.models.replay.questions import FIELDS, ROLES
from langplug.models.replay.yaml_text import documents, to_yaml

VERSION: Final = 1

_NAME: Final = "langplug-cassette"

_HEADER: Final = f"""\
# Questions to a chat model, and its answers, recorded by langplug's ChatReplay. Edit it as you like.
{_NAME}: {VERSION}
"""

_ANSWER: Final = ("model", "answer", "error", "left", "seconds")
_PIECE: Final = frozenset({"id", "reasoning", "text", "content", "calls", "invalid_calls", "usage", "metadata", "more"})


class CassetteError(RuntimeError):
    """A cassette cannot be read. The message names the file, the line, and what was expected there."""


def read(path: Path) -> list[dict[str, Any]]:
    """The recordings of a cassette, oldest first.

    Raises:
        FileNotFoundError: If there is none.
        CassetteError: If it is not YAML, not a cassette, or of another version.
    """
    try:
        (line, header), *found = documents(path.read_text(encoding="utf-8")) or [(1, None)]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CassetteError(f"{path}, line {line}: this is not YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CassetteError(f"{path} is not a text in YAML: {error}") from None
    except ValueError:
        line, header, found = 1, None, []
    if not isinstance(header, dict) or _NAME not in header:
        raise CassetteError(f"{path}, line {line}: this is no cassette: it must begin with `{_NAME}: {VERSION}`.")
    if header[_NAME] != VERSION:
        raise CassetteError(
            f"{path} is a cassette of version {header[_NAME]!r}, and this langplug reads version {VERSION}. Record it "
            "again (mode='rewrite'), or use the langplug that wrote it."
        )
    for line, recording in found:
        if problem := _problem_of(recording):
            end = "" if problem.endswith("?") else "."
            raise CassetteError(f"{path}, in the recording that begins on line {line}: {problem}{end}")
    return [dict(recording) for _, recording in found if recording]


def _problem_of(recording: Any) -> str:
    """What is wrong with a recording, as a person may have written it; empty if nothing is."""
    if not isinstance(recording, dict):
        return f"expected `messages:` and `answer:`, and not {recording!r:.60}"
    if unknown := [name for name in recording if name not in (*FIELDS, *_ANSWER)]:
        return f"{unknown[0]!r} is unknown.{did_you_mean(str(unknown[0]), (*FIELDS, *_ANSWER))}".rstrip(". ")
    messages = recording.get("messages")
    if not isinstance(messages, list) or not messages:
        return "`messages` must be a list of messages, such as `- human: Hello`"
    for message in messages:
        roles = [role for role in ROLES if role in message] if isinstance(message, dict) else []
        if len(roles) != 1 or not isinstance(message[roles[0]], str | list):
            return (
                f"{message!r:.80} must be one of {', '.join(ROLES)}, a colon, and a text (in quotes if it is a number)"
            )
    error = recording.get("error")
    if error is not None and not (isinstance(error, dict) and isinstance(error.get("type"), str)):
        return "`error` must have a `type`, the name of its class, and a `message`"
    if "answer" not in recording and error is None:
        return "it has neither an `answer` nor an `error`"
    if not all(type(one) in (int, float) for one in recording.get("seconds") or ()):
        return "`seconds` must be a list of numbers"
    answer = recording.get("answer", [])
    return next(filter(None, map(_problem_of_piece, answer if isinstance(answer, list) else [answer])), "")


def _problem_of_piece(data: Any) -> str:
    if isinstance(data, str):
        return ""
    if not isinstance(data, dict):
        return f"{data!r:.60} in `answer` must be a text (in quotes if it is a number) or a mapping with `text`"
    if unknown := sorted(map(str, data.keys() - _PIECE)):
        return f"{unknown[0]!r} in `answer` is unknown.{did_you_mean(unknown[0], _PIECE)}".rstrip(". ")
    for name in ("text", "reasoning"):
        if not isinstance(data.get(name, ""), str):
            return f"`{name}: {data[name]!r:.60}` in `answer` must be a text (in quotes if it is a number)"
    for name in ("usage", "metadata", "more"):
        if not isinstance(data.get(name, {}), dict):
            return f"`{name}` in `answer` must be a mapping"
    for name in ("calls", "invalid_calls"):
        calls = data.get(name, [])
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            return f"`{name}` in `answer` must be a list of calls with `name`, `args` and `id`"
    return ""


def add(path: Path, recording: Mapping[str, Any], *, anew: bool = False) -> None:
    """Write one more recording, or begin `anew` with it."""
    path = path.absolute()
    data = dict(recording)
    moments = ", ".join(map(str, data.pop("seconds", ())))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not beside the cassette, which is kept in repositories; nor in a file that another user may own.
    place = hashlib.sha256(f"{path}\n{Path.home()}".encode()).hexdigest()[:24]
    with exclusive(Path(tempfile.gettempdir()) / f"langplug-{place}.lock"):
        before = path.read_text(encoding="utf-8") if path.exists() and not anew else _HEADER
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                file.write(f"{before.rstrip(chr(10))}\n---\n{to_yaml(data)}seconds: [{moments}]\n")
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
