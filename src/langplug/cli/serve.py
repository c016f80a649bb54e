"""`langplug serve`: models behind the APIs that clients of OpenAI and Anthropic speak."""

import argparse
import errno
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from langplug._suggest import did_you_mean
from langplug.cli._exit import OK, UsageError, error_text, exit_codes
from langplug.cli._model import DEFAULT_MODEL, EMBEDDED, ON_REFERENCES
from langplug.cli._serving import Serving, printed_log, serve_alone, supervise, work

HELP: Final = "serve models to clients of OpenAI and Anthropic"

_PREFIX: Final = "LANGPLUG_SERVE_"
"""How the variables of options begin."""

_KEY: Final = f"{_PREFIX}API_KEY"

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_WHERE_ELSE: Final = {
    errno.EADDRINUSE: "choose another port with --port N; 0 is any that is free",
    errno.EACCES: "choose a port from 1024 on with --port N",
}
"""What to do where a port cannot be had."""

_OPTIONS: Final[dict[str, tuple[str, Callable[[str], Any], str | None, str]]] = {
    "--host": ("ADDRESS", str, "127.0.0.1", "where to listen"),
    "--port": ("N", int, "8000", "0 for any that is free"),
    "--workers": ("N", int, "1", "how many processes answer; each loads the models, and has the limits below"),
    "--max-concurrency": ("N", int, "1024", "how many calls run at once; others wait for their turn"),
    "--max-queue": ("N", int, "1024", "how many calls may wait; more are answered 429"),
    "--timeout": ("SECONDS", float, None, "how long a call may take, waiting included (default: any time)"),
    "--ping-interval": ("SECONDS", float, "15", "a stream in which nothing comes for so long says that it lives"),
    "--write-timeout": (
        "SECONDS",
        float,
        "120",
        "a client that takes nothing of its stream, or sends nothing of its body, for so long is given up",
    ),
    "--api-key-file": ("FILE", Path, None, "a file with the key that clients send"),
}
"""Options with one value: what it is called, what reads it, the default, and the help."""

_LISTS: Final = {
    "--alias": ("NAME=REF", "aliases", "a model, by this name; may be given several times"),
    "--with": (
        "NAME=VALUE",
        "settings",
        """a constructor argument of each model, as JSON or plain text, such as temperature=0; ALIAS:NAME=VALUE is for
        one of them; may be given several times. Secrets come from the environment: api_key=env:ACME_KEY""",
    ),
    "--allow-host": (
        "NAME",
        "hosts",
        "a name under which clients may ask, besides localhost and ADDRESS; * for any; may be given several times",
    ),
    "--allow-origin": (
        "ORIGIN",
        "origins",
        "whose pages may ask from a browser, such as http://localhost:3000; may be given several times",
    ),
}
"""Options that may be given several times: what one is called, where they are kept, and the help."""

_ON_REFS: Final = f"""a model, by the name that it reports; see below (default, without --alias: {DEFAULT_MODEL}, the
embedded model, as {EMBEDDED})"""

_FLAGS: Final = {
    "--without-key": "listen to other machines although no key guards the models",
    "--strict": "refuse what would be ignored of a request",
    "--show-steps": "tell as reasoning what agents and graphs do before they answer: calls of tools and their results",
    "--user-threads": "keep a thread of graphs with a checkpointer for each user that a client names",
}
"""Options without a value, and the help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug serve` takes."""
    parser.description = """\
Serve models at http://HOST:PORT/v1, in the form of OpenAI's Chat Completions and Responses and Anthropic's Messages.
At http://HOST:PORT is a page for trying them in a browser.

The port answers at once; what is asked while the models are loaded is answered 503, as is /health/ready.

A client that leaves stops its model. SIGTERM and Ctrl-C stop the server when the answers are given that are being
given; the same again stops it at once."""
    parser.epilog = f"""\
{ON_REFERENCES}

A key comes from --api-key-file, else from {_KEY}; it guards every path but /health/live,
/health/ready and the page's files.

Each option has an environment variable, such as {_variable("--max-queue")} for --max-queue, which counts if the option
is not given. Where several values may be given, it holds them as a shell would take them:
{_variable("--with")}="temperature=0 small:max_tokens=100". Of an option without a value it says 1 or 0.

{exit_codes("stopped by SIGTERM", "a model behind a server failed")}"""
    parser.add_argument("refs", metavar="REF", nargs="*", help=_ON_REFS)
    for name, (metavar, kept, told) in _LISTS.items():
        parser.add_argument(name, metavar=metavar, dest=kept, action="append", help=told)
    for name, (metavar, kind, default, told) in _OPTIONS.items():
        given = os.environ.get(_variable(name)) or default  # text, which argparse reads as it reads what is given
        shown = told if default is None else f"{told} (default: {default})"
        parser.add_argument(name, metavar=metavar, type=_reader(name, kind), default=given, help=shown)
    for name, told in _FLAGS.items():
        parser.add_argument(name, action="store_true", default=None, help=told)
    parser.add_argument("--as-worker", metavar="FD", type=int, help=argparse.SUPPRESS)  # of another one of these


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes. Returns the exit code."""
    if args.as_worker is not None:
        with printed_log():
            work(args.as_worker)
        return OK
    _read_environment(args)
    serving = _serving_of(args)
    serving.check()
    try:
        from langplug.serve.aiohttp_driver import ListenError, listen, url_of
    except ImportError as error:
        raise UsageError("serving needs aiohttp: pip install 'langplug[http]'") from error
    exchange = serving.application().exchange
    if not 0 <= args.port < 65536:
        raise UsageError(f"--port takes a number from 0 to 65535, not {args.port}")
    try:
        listening = listen(args.host, args.port)
    except ListenError as error:
        hint = _WHERE_ELSE.get(error.number or 0, "--host takes an address or a name of this machine")
        raise UsageError(f"cannot listen on {args.host}, port {args.port}: {error_text(error)}; {hint}") from error
    url = url_of(listening)

    def tell(names: list[str]) -> None:
        page = f"\nplayground at {url.removesuffix('v1')}" if names else ""
        print(f"{', '.join(names) or 'loading'} at {url}{page}", file=sys.stderr, flush=True)

    with printed_log():
        if args.workers == 1:
            return serve_alone(serving, exchange, listening, tell)
        return supervise(serving, exchange, listening, args.workers, tell)


def _serving_of(args: argparse.Namespace) -> Serving:
    key = _read_key(args.api_key_file)
    if key is None and args.host not in _LOOPBACK and not args.without_key:
        raise UsageError(
            f"anybody who reaches {args.host} could use the models: give a key with --api-key-file FILE or in "
            f"{_KEY}, or insist with --without-key"
        )
    if args.workers < 1 or (args.workers > 1 and sys.platform == "win32"):
        raise UsageError(f"--workers {args.workers}: expected 1 or more, and on Windows, which cannot share a port, 1")
    models = [("", reference) for reference in args.refs]
    for alias in args.aliases:
        name, equals, reference = alias.partition("=")
        if not (name and equals and reference):
            raise UsageError(f"--alias takes NAME=REF, not {alias!r}")
        models.append((name, reference))
    models = models or [(EMBEDDED, DEFAULT_MODEL)]
    names = ("strict", "max_concurrency", "max_queue", "timeout", "ping_interval", "write_timeout")
    options = {name: getattr(args, name) for name in names}
    hosts = None if "*" in args.hosts else [*_LOOPBACK, args.host, *args.hosts]
    options |= {"hosts": hosts, "origins": args.origins, "api_key": key}
    graphs = {"show_steps": args.show_steps, "user_threads": args.user_threads}
    return Serving(models=models, settings=args.settings, options=options, graphs=graphs)


def _variable(option: str) -> str:
    return f"{_PREFIX}{option.removeprefix('--').replace('-', '_').upper()}"


def _reader(option: str, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """What reads the value of an option; where that is wrong, it says where it stands and what was expected."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError as error:
            where = f" in {_variable(option)}" if os.environ.get(_variable(option)) == text else ""
            expected = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}{where}") from error

    return read


def _warn_of_misspelt_variables() -> None:
    """Say which variables are nearly ours: Kubernetes, too, sets some that begin so, for a service of that name."""
    known = [_variable(name).removeprefix(_PREFIX) for name in (*_LISTS, *_OPTIONS, *_FLAGS, "--api-key")]
    given = [name.removeprefix(_PREFIX) for name in os.environ if name.startswith(_PREFIX)]
    for name in given:
        if name not in known and (meant := did_you_mean(name, known, form=_PREFIX + "{}")):
            print(f"langplug: {_PREFIX}{name} is not a variable of this command.{meant}", file=sys.stderr)


def _read_environment(args: argparse.Namespace) -> None:
    """What the environment says of the options that are not given."""
    _warn_of_misspelt_variables()
    for name, (_, kept, _) in _LISTS.items():
        try:
            given = getattr(args, kept) or shlex.split(os.environ.get(_variable(name), ""))
        except ValueError as error:
            raise UsageError(f"{_variable(name)} is no list of words: {error_text(error)}") from error
        setattr(args, kept, given)
    for name in _FLAGS:
        written = os.environ.get(_variable(name), "").lower()
        if written not in ("", "0", "1", "false", "true", "no", "yes"):
            raise UsageError(f"{_variable(name)} is {written!r}; expected 1 or 0")
        kept = name.removeprefix("--").replace("-", "_")
        setattr(args, kept, getattr(args, kept) or written in ("1", "true", "yes"))


def _read_key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(_KEY) or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the key cannot be read from {file}: {error_text(error)}") from error
    if not key:
        raise UsageError(f"{file} is empty: write a key into it")
    return key
