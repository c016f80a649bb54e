"""`langplug explain`: what a chat model will do, and why, in plain words."""

import argparse
from typing import Final

from langplug.cli import (
    OK,
    ON_REFERENCES,
    Terminal,
    UsageError,
    add_model_arguments,
    error_text,
    exit_codes,
    parse_settings,
)

HELP: Final = "say in plain words what a chat model will do, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug explain` takes."""
    parser.description = """\
Say in plain words what a chat model will do, and why: how it streams, what it does on an event loop, how it calls
tools, which way create_agent takes to structured output, what its cache key and its traces hold. The model is not
asked anything."""
    parser.epilog = f"""\
{ON_REFERENCES}

{exit_codes(wrong_use="wrong use, or no such model")}"""
    add_model_arguments(parser, required=True)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """Explain a model. Returns the exit code."""
    from langchain_core.exceptions import ModelError

    from langplug_check.explain import explain

    try:
        explanation = explain(args.ref, **parse_settings(args.settings))
    except (ModelError, UsageError):
        raise
    except Exception as error:
        raise UsageError(error_text(error)) from error
    Terminal().answer(explanation.to_json() if args.json else explanation.to_text())
    return OK
