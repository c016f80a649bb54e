"""`langplug serve`: models behind the APIs that clients of OpenAI and Anthropic speak."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from langplug.cli._exit import OK, UsageError, error_text, exit_codes
from langplug.cli._model import ON_REFERENCES, load_model

HELP: Final = "serve models to clients of OpenAI and Anthropic"

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_OPTIONS: Final[dict[str, tuple[str, Callable[[str], Any], str | None, str]]] = {
    "--host": ("ADDRESS", str, "127.0.0.1", "where to listen"),
    "--port": ("N", int, "8000", "0 for any that is free"),
    "--max-concurrency": ("N", int, "1024", "how many calls run at once; others wait for their turn"),
    "--max-queue": ("N", int, "1024", "how many calls may wait; more are answered 429"),
    "--timeout": ("SECONDS", float, None, "how long a call may take, waiting included (default: any time)"),
    "--ping-interval": ("SECONDS", float, "15", "a stream in which nothing comes for so long says that it lives"),
}
"""Options with one value: what it is called, what reads it, the default, and the help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug serve` takes."""
    parser.description = """\
Serve models at http://HOST:PORT/v1, in the form of OpenAI's Chat Completions and Responses and Anthropic's Messages.

The port answers at once; what is asked while the models are loaded is answered 503, as is /health/ready.

A client that leaves stops its model. SIGTERM and Ctrl-C stop the server when the answers are given that are being
given; the same again stops it at once."""
    parser.epilog = f"""\
{ON_REFERENCES}

A key comes from --api-key-file, else from LANGPLUG_SERVE_API_KEY; it guards every path but /health/live
and /health/ready.

Options with one value have an environment variable, such as {_variable("--max-queue")} for --max-queue.

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
    for name, (metavar, kind, default, told) in _OPTIONS.items():
        given = os.environ.get(_variable(name)) or default  # text, which argparse reads as it reads what is given
        shown = told if default is None else f"{told} (default: {default})"
        parser.add_argument(name, metavar=metavar, type=kind, default=given, help=shown)
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
    parser.add_argument(
        "--show-steps",
        action="store_true",
        help="tell as reasoning what agents and graphs do before they answer: calls of tools and their results",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes. Returns the exit code."""
    key = _read_key(args.api_key_file)
    if key is None and args.host not in _LOOPBACK and not args.without_key:
        raise UsageError(
            f"anybody who reaches {args.host} could use the models: give a key with --api-key-file FILE, or insist "
            "with --without-key"
        )
    named = _named(args.refs, args.aliases)
    import asyncio  # help does not wait for it

    try:
        from langplug.serve.aiohttp_driver import ListenError, serve_until_stopped
    except ImportError as error:
        raise UsageError("serving needs aiohttp: pip install 'langplug[http]'") from error
    from langplug.serve import app
    from langplug.serve.served import Catalog

    try:
        application = app(
            Catalog(show_steps=args.show_steps),
            hosts={*_LOOPBACK, args.host, *args.hosts},
            api_key=key,
            strict=args.strict,
            max_concurrency=args.max_concurrency,
            max_queue=args.max_queue,
            timeout=args.timeout,
            ping_interval=args.ping_interval,
        )
    except ValueError as error:
        raise UsageError(error_text(error)) from error

    catalog = application.exchange.catalog

    def tell(url: str) -> None:
        said = "loading" if catalog.is_loading else ", ".join(served.id for served in catalog.all())
        print(f"{said} at {url}", file=sys.stderr, flush=True)

    serving = serve_until_stopped(
        application.exchange, args.host, args.port, load=lambda: _load_models(named), tell=tell
    )
    try:
        came = asyncio.run(serving)
    except ListenError as error:
        raise UsageError(f"cannot listen on {args.host}, port {args.port}: {error_text(error)}") from error
    if came == signal.SIGINT:
        raise KeyboardInterrupt
    return OK


def _variable(option: str) -> str:
    return f"LANGPLUG_SERVE_{option.removeprefix('--').replace('-', '_').upper()}"


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


def _named(references: list[str], aliases: list[str]) -> list[tuple[str, str]]:
    """What to load, each with its alias, which is empty where the model is called as it reports itself."""
    named = [("", reference) for reference in references]
    for alias in aliases:
        name, equals, reference = alias.partition("=")
        if not (name and equals and reference):
            raise UsageError(f"--alias takes NAME=REF, not {alias!r}")
        named.append((name, reference))
    if not named:
        raise UsageError("name a model to serve: a REF, or --alias NAME=REF")
    return named


def _load_models(named: list[tuple[str, str]]) -> dict[str, Any]:
    """The models by the names under which they are served."""
    from langplug import adopt

    models: dict[str, Any] = {}
    for alias, reference in named:
        model = adopt(load_model(reference, {}))
        attribute = reference.rpartition(":")[2]
        # A model that nobody named reports its type, and a graph "LangGraph".
        is_unnamed = model.reported_name in (model.asdict().get("_type"), "LangGraph")
        name = alias or (attribute if is_unnamed and attribute.isidentifier() else model.reported_name)
        if name in models:
            raise UsageError(f"two models are called {name!r}: rename one with --alias NAME={reference}")
        models[name] = model
    return models
