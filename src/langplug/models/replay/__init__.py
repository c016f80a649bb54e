"""A chat model that was recorded: asked once, and played from a file from then on."""

from langplug.models.replay.answers import RecordedError
from langplug.models.replay.cassette import CassetteError
from langplug.models.replay.tape import MissingRecordingError

__all__ = ["CassetteError", "MissingRecordingError", "RecordedError"]
