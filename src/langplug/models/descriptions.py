"""Descriptions of HTTP APIs for `ChatHTTP`: the fields that they are made of, and the files that they are read from."""

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langplug._messages.prompt import PromptTemplate
from langplug._stream.framing import Framing
from langplug._suggest import did_you_mean


class SectionFields(BaseModel):
    """What may be different for streams and for answers that are one JSON value."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    # --- the request ---

    url: str
    """The path after `base_url`, or a whole address. `{name}` is replaced by the fact of that name, quoted."""

    method: str = "POST"
    """The HTTP method."""

    query: dict[str, Any] = Field(default_factory=dict)
    """What stands after the `?`, as a template."""

    body: Any = None
    """The body, as a template. A mapping or a list is sent as JSON (as a form, if `Content-Type` says so), a string
    as plain text. A template knows `messages`, `tools` and `tool_choice` in OpenAI's format, and in that of another API
    (`anthropic.messages`, `ollama.messages`, ...), the `text` of the last message, `system` instructions, `prompt`,
    `stop`, `parallel_tool_calls`, `schema`, `json_mode` (true if any JSON will do), `streaming`, and each field of the
    model."""

    # --- the response: see `Paths` ---

    each: str | None = None
    """The path to a list of values that are read in place of the value itself; see `text`."""

    text: str | None = None
    """The path to the text, in each JSON value. `Paths` documents this and the paths that follow in full."""

    reasoning: str | None = None
    """The path to the reasoning."""

    tool_calls: str | None = None
    """The path to calls, as `{name: ..., args: ..., id: ..., index: ...}`. With it, and with tools in the body, the
    model calls tools natively; otherwise they are prompted."""

    blocks: str | None = None
    """The path to other content, such as images, as LangChain content blocks."""

    usage: str | None = None
    """The path to token counts, as `{input_tokens: ..., output_tokens: ...}`."""

    usage_kind: Literal["total", "delta"] = "total"
    """Whether each report counts from the start of the answer, or from the report before."""

    finish: str | None = None
    """The path to why the answer ended, or to `true` when it does. An answer without it is not complete."""

    reasons: dict[str, str] = Field(default_factory=dict)
    """LangChain's word (`"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`) for each of the server's."""

    stop_sequence: str | None = None
    """The path to the stop string that ended the answer."""

    done: str | None = None
    """A path that finds something in the last value of a stream alone: nothing after it is read. Without `finish`, an
    answer in which it finds nothing is not complete; without both, an answer ends where the body does."""

    response_metadata: str | None = None
    """The path to more for `response_metadata`, such as `{model_name: model}`."""

    error: str | None = None
    """The path to an error in place of an answer."""

    may_be_empty: bool = False
    """Whether an answer in which no path finds content is an empty one. By default it is an error."""


class DescriptionFields(SectionFields):
    """All that describes an API."""

    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More for the body, as it is. It overrides the template, key by key."""

    header_templates: dict[str, str] = Field(default_factory=dict)
    """Those of `headers` that contain a `{name}`, such as `Bearer {api_key}`. One without a value is not sent."""

    api_key_env: str | None = None
    """The environment variable that holds the key, if `api_key` is not given."""

    prompt_template: str | PromptTemplate = "plain"
    """How the conversation is written as `prompt`: see `Request.prompt`."""

    framing: Framing = "json"
    """How a streamed answer is cut into JSON values: `"sse"` (server-sent events), `"ndjson"`, `"json-array"`, or not
    at all (`"json"`); or `"text"`: the body is not JSON, but the text itself. A body that is plainly framed otherwise
    is read all the same."""

    streamed: dict[str, Any] = Field(default_factory=dict)
    """What is different for streams: `url`, `method`, `query`, `body`, and the paths."""

    whole: dict[str, Any] = Field(default_factory=dict)
    """What is different for answers that are one JSON value."""

    stop_text: Literal["cut", "included", "reported"] = "cut"
    """What the server does with the text that it stops at: leaves it out, includes it, or says which it was, at
    `stop_sequence`. If it leaves out text that is wanted, langplug does not tell it where to stop, and cuts."""


SECTION = tuple(SectionFields.model_fields)


# --- files ---

_SUFFIXES = (".yaml", ".yml", ".toml", ".json")


def shipped_names() -> list[str]:
    """The names of the descriptions that come with langplug: one for each file in `wires`."""
    folder = resources.files("langplug.models") / "wires"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file says, or the description of that name that comes with langplug.

    Raises:
        FileNotFoundError: If there is neither.
        ValueError: If it cannot be read, or does not hold names and values.
    """
    import yaml  # here, because the extra `http` need not be installed for this module to be looked at

    given = os.fspath(path)
    names = shipped_names()
    file = Path(given)
    if given in names:
        suffix = ".yaml"
        text = (resources.files("langplug.models") / "wires" / f"{given}.yaml").read_text(encoding="utf-8")
    elif not file.is_file():
        raise FileNotFoundError(
            f"There is no file {given!r}, and no description of that name.{did_you_mean(given, names)} "
            f"There are: {', '.join(names)}."
        )
    elif (suffix := file.suffix.lower()) not in _SUFFIXES:
        raise ValueError(f"{given} is not a description: its name must end in one of {', '.join(_SUFFIXES)}.")
    else:
        text = file.read_text(encoding="utf-8")
    try:
        described = tomllib.loads(text) if suffix == ".toml" else yaml.safe_load(text)  # JSON is YAML, too
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{given} cannot be read: {error}") from error
    if not isinstance(described, dict) or not all(isinstance(key, str) for key in described):
        raise ValueError(f"{given} holds {type(described).__name__}; expected names and values, such as `url: /chat`.")
    return described
