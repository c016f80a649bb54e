"""The keywords of a call that are not parameters of the model: langplug's notes to itself, and langchain-core's own."""

from typing import Any

OPENED = "langplug_opened"
"""The keyword under which `stream` and `astream` learn which sources `_stream` and `_astream` opened."""

RUNS = "langplug_runs"
"""The keyword under which `agenerate` learns the run of each prompt, and whether its answer is there."""

CALL = "langplug_call"
"""The keyword under which langchain-core's hooks learn the call's configuration, of which it hands them but a part."""

FOR_A_PARSER = "langplug_for_a_parser"
"""The keyword by which `with_structured_output` says that it judges the answer itself, however bad it is."""

TRACING_ONLY = frozenset(
    {OPENED, RUNS, CALL, FOR_A_PARSER, "ls_structured_output_format", "structured_output_format", "stream"}
)
"""Keywords of a call that say how to run or trace it, and do not reach the model."""

CORES_OWN = frozenset(
    {"messages", "prompts", "callbacks", "tags", "metadata", "run_name", "run_id", "run_manager", "async_api"}
    | {OPENED, RUNS, CALL, "output_version"}
)
"""Keywords of a call of which langchain-core makes something of its own, or an error: they go by its way."""


def parameters_in(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those keywords of a call that say something about the answer itself."""
    return {name: value for name, value in kwargs.items() if name not in TRACING_ONLY}


def held_for_a_parser(given: dict[str, Any]) -> dict[str, Any]:
    """What a call was given, where its reader adds all up to one message, so that nothing shown can be taken back.

    An answer that must be checked is then held until it is.
    """
    return {**given, FOR_A_PARSER: "held"} if FOR_A_PARSER in given else given
