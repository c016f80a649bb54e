"""Runs as callback handlers see them, and the paths by which every Runnable can be called."""

from collections.abc import Sequence

from langplug_check.paths import PathName
from langplug_check.recorder import Event, Recorder

WHOLE: Sequence[PathName] = ("invoke", "ainvoke")
"""The paths that return a whole message. Only these look into a cache: langchain-core's `stream` never does."""

CHUNKED: Sequence[PathName] = ("stream", "astream")
"""The paths that yield chunks."""

FOUR: Sequence[PathName] = (*WHOLE, *CHUNKED)
"""The paths that every Runnable has."""


def own_events(recorder: Recorder) -> list[Event]:
    """The events of the model's own run. A model that asks another model has child runs, which have a parent."""
    return [event for event in recorder.events if event.parent_run_id is None]


def own_kinds(recorder: Recorder) -> list[str]:
    """The kinds of the events of the model's own run, without tokens."""
    return [event.kind for event in own_events(recorder) if event.kind != "token"]
