"""A cassette as it is played: which recording answers a question, and whether one is made."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from langplug.models.replay import cassette
from langplug.models.replay.questions import difference, key_of, nearest

Mode = Literal["none", "once", "new", "rewrite"]


class MissingRecordingError(LookupError):
    """A question is not in the cassette. The message shows the nearest one that is, and how it differs."""


class Tape:
    """One playing of a cassette, from the start.

    Equal questions play their recordings in order, and the last one again after that. What is recorded meanwhile is
    played the next time.

    Args:
        path: The file.
        mode: What to record.

    Raises:
        FileNotFoundError: If there is none, and none is to be made.
        CassetteError: If it cannot be read.
    """

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self._begins_anew = mode == "rewrite"
        self.records = mode in ("new", "rewrite") or (mode == "once" and not path.exists())
        self._recordings: list[dict[str, Any]] = []
        if mode != "rewrite" and (path.exists() or not self.records):
            self._recordings = cassette.read(path)
        self._by_key: dict[str, list[dict[str, Any]]] = {}
        for recording in self._recordings:
            self._by_key.setdefault(key_of(recording), []).append(recording)
        self._played: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def model(self) -> Mapping[str, Any]:
        """What the first recording says of its model."""
        return next((one["model"] for one in self._recordings if isinstance(one.get("model"), dict)), {})

    def find(self, question: Mapping[str, Any], model: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The next recording of a question.

        Args:
            question: What is asked, without secrets.
            model: Who is asked. Recordings of another are passed over. None: whoever it is.
        """
        key = key_of(question)
        fitting = [
            one
            for one in self._by_key.get(key, ())
            if model is None or one.get("model") is None or one["model"] == model
        ]
        if not fitting:
            return None
        asked = f"{key} {model}"
        with self._lock:  # `batch` asks from several threads, and each is to get a recording of its own
            number = self._played.get(asked, 0)
            self._played[asked] = number + 1
        return fitting[min(number, len(fitting) - 1)]

    def add(self, recording: Mapping[str, Any]) -> None:
        """Write one more recording."""
        with self._lock:
            cassette.add(self.path, recording, anew=self._begins_anew)
            self._begins_anew = False

    def miss(self, question: Mapping[str, Any], model: Mapping[str, Any] | None) -> MissingRecordingError:
        """The error for a question that was not recorded."""
        asked = dict(question) | ({} if model is None else {"model": dict(model)})
        found = nearest(asked, self._recordings)
        cure = "Record it with ChatReplay(cassette=..., model=..., mode='new'), or pytest --cassette-mode=new."
        if found is None:
            return MissingRecordingError(f"{self.path} holds no recording. {cure}")
        compared = {name: value for name, value in found.items() if name in asked or name != "model"}
        told = f"{self.path} holds no recording of this question. The nearest one differs in (- recorded, + asked):"
        return MissingRecordingError(f"{told}\n{difference(asked, compared)}\n{cure}")

    # A shallow copy of the model, as `bind` and the parameters of a call make one, plays on; and so does a deep one, as
    # what is recorded must stay in one file. A pickle is of another process, and begins with the first recording.

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tape":
        return self

    def __reduce__(self) -> tuple[Callable[[Path, Mode], "Tape"], tuple[Path, Mode]]:
        return Tape, (self.path, "new" if self.records else "none")
