"""`langplug check --server URL`: what the command line has for servers."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from langplug.cli import UsageError, error_text, parse_settings
from langplug_check.cli.progress import Progress

if TYPE_CHECKING:  # at run time imported where it is used: help does not wait for it
    from langplug_check.report import Report

ONLY_FOR_SERVERS: Final[Mapping[str, str]] = {"--model": "model", "--api-key": "api_key", "--timeout": "timeout"}
"""Options, and where argparse puts them, that mean nothing for a model."""

_ONLY_FOR_MODELS: Final[Mapping[str, str]] = {
    "a reference": "ref",
    "--with": "settings",
    "--dialect": "dialect",
    "--statements": "statements",
    "--offline": "offline",
    "--here": "here",
}

_FROM_ENVIRONMENT: Final = "env:"


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug check --server` takes."""
    parser.add_argument(
        "--server",
        metavar="URL",
        help="check a server that speaks OpenAI's Chat Completions, by its base URL, such as http://localhost:8000/v1, "
        "and no model",
    )
    parser.add_argument("--model", metavar="NAME", help="the server's model to ask; by default the first of its list")
    parser.add_argument("--api-key", metavar="env:VARIABLE", help="the key that the server wants, from the environment")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, help="how long one answer of the server may take; by default 60"
    )


def is_about_servers(ids: Sequence[str]) -> bool:
    """Whether ids are those of statements about servers."""
    return any(name.upper().startswith("S") for name in ids)


def refuse_what_is_for_models(args: argparse.Namespace) -> None:
    """Refuse what has no meaning for a server.

    Raises:
        UsageError: If there is any of it.
    """
    for flag, name in _ONLY_FOR_MODELS.items():
        if getattr(args, name):
            raise UsageError(f"--server checks a server, and {flag} is about a model: leave one of them out")
    if args.timeout is not None and not 0 < args.timeout < 86_400:
        raise UsageError("--timeout takes seconds, more than 0 and less than a day")


def check_the_server(args: argparse.Namespace) -> "Report":
    """What was found of the server.

    Raises:
        UsageError: If there is none, or its key or model is none.
    """
    from langplug_check.servers.session import check_server

    key = _key_of(args.api_key)
    progress = Progress(sys.stderr)
    progress.begin("asking the server")
    try:
        return check_server(
            args.server,
            model=args.model or "",
            key=key,
            only=args.only,
            skip=args.skip,
            limit_s=args.timeout or 60.0,
            progress=progress.show,
        )
    except KeyboardInterrupt:
        progress.stop()
        raise
    except ValueError as error:
        raise UsageError(error_text(error)) from error
    finally:
        progress.end()


def _key_of(given: str | None) -> str:
    if given is None:
        return ""
    if not given.startswith(_FROM_ENVIRONMENT):
        raise UsageError(
            "--api-key: a key would stay in the shell's history: put it into an environment variable, and write "
            "--api-key env:VARIABLE"
        )
    key = str(parse_settings([f"api_key={given}"])["api_key"])
    if not key.strip():
        raise UsageError(f"the environment variable of --api-key {given} is empty")
    return key
