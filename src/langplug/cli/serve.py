"""`langplug serve`: models behind the API that OpenAI's clients speak."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from langplug.cli._exit import OK, UsageError, error_text, exit_codes
from langplug.cli._model import ON_REFERENCES, load_model

HELP: Final = "serve models to OpenAI's clients"

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug serve` takes."""
    parser.description = """\
Serve models at http://HOST:PORT/v1, in the form of OpenAI's Chat Completions.

A client that leaves stops its model. SIGTERM and Ctrl-C stop the server when the answers are given that are being
given; the same again stops it at once."""
    parser.epilog = f"""\
{ON_REFERENCES}

A key comes from --api-key-file, else from LANGPLUG_SERVE_API_KEY; it guards every path but /health/live and
/health/ready.

{exit_codes("stopped by SIGTERM", "a model behind a server failed")}"""
    parser.add_argument("refs", metavar="REF", nargs="*", help="a model, by the name that it reports; see below")
    parser.add_argument(
        "--alias",
        metavar="NAME=REF",
        dest="aliases",
        action="append",
        default=[],
        help="a model, by this name; may be given several times",
    )
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=int, default=8000, help="0 for any that is free (default: 8000)")
    parser.add_argument("--api-key-file", metavar="FILE", type=Path, help="a file with the key that clients send")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        dest="hosts",
        action="append",
        default=[],
        help="a name under which clients may ask, besides localhost and ADDRESS; may be given several times",
    )
    parser.add_argument(
        "--without-key", action="store_true", help="listen to other machines although no key guards the models"
    )
    parser.add_argument("--strict", action="store_true", help="refuse what would be ignored of a request")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes. Returns the exit code."""
    key = _read_key(args.api_key_file)
    if key is None and args.host not in _LOOPBACK and not args.without_key:
        raise UsageError(
            f"anybody who reaches {args.host} could use the models: give a key with --api-key-file FILE, or insist "
            "with --without-key"
        )
    models = _load_models(args.refs, args.aliases)
    import asyncio  # help does not wait for it

    try:
        from langplug.serve.aiohttp_driver import serve_until_stopped
    except ImportError as error:
        raise UsageError("serving needs aiohttp: pip install 'langplug[http]'") from error
    from langplug.serve import app

    application = app(models, hosts={*_LOOPBACK, args.host, *args.hosts}, api_key=key, strict=args.strict)

    def say(url: str) -> None:
        print(f"{', '.join(models)} at {url}", file=sys.stderr, flush=True)

    try:
        came = asyncio.run(serve_until_stopped(application.exchange, args.host, args.port, on_ready=say))
    except OSError as error:
        raise UsageError(f"cannot listen on {args.host}, port {args.port}: {error_text(error)}") from error
    if came == signal.SIGINT:
        raise KeyboardInterrupt
    return OK


def _read_key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("LANGPLUG_SERVE_API_KEY") or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the key cannot be read from {file}: {error_text(error)}") from error
    if not key:
        raise UsageError(f"{file} is empty: write a key into it")
    return key


def _load_models(references: list[str], aliases: list[str]) -> dict[str, Any]:
    """The models by the names under which they are served."""
    from langplug import adopt

    named: list[tuple[str, str]] = [("", reference) for reference in references]
    for alias in aliases:
        name, equals, reference = alias.partition("=")
        if not (name and equals and reference):
            raise UsageError(f"--alias takes NAME=REF, not {alias!r}")
        named.append((name, reference))
    if not named:
        raise UsageError("name a model to serve: a REF, or --alias NAME=REF")
    models: dict[str, Any] = {}
    for alias, reference in named:
        model = adopt(load_model(reference, {}))
        name = alias or model.reported_name
        if name in models:
            raise UsageError(f"two models are called {name!r}: rename one with --alias NAME={reference}")
        models[name] = model
    return models
