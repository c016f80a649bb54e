"""A model server on loopback that misbehaves on command: the backend, in a process of its own."""

import argparse
import contextlib
import json
import sys
import threading

from langplug_backend.markers import marker_table
from langplug_backend.obedient import Obedient
from langplug_backend.server import Backend
from langplug_backend.wrongs.table import wrong_table


def main() -> None:
    """Serve until interrupted; with `--with-parent`, until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m langplug_backend", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--key", help="API key that clients must send (default: any or none)")
    parser.add_argument(
        "--reply",
        metavar="TEXT",
        help="answer every request with this text; it may contain [[markers]] (default: repeat the prompt)",
    )
    parser.add_argument("--model", help="name of its model (default: backend-1)", default="backend-1")
    parser.add_argument("--strict", action="store_true", help="keep OpenAI's Chat Completions to the letter")
    parser.add_argument("--wrong", metavar="NAME", help="be such a server, but wrong in one way; see --wrongs")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds for each word of a strict or wrong server")
    parser.add_argument("--concurrency", type=int, help="answers to make at once (default: any number)")
    parser.add_argument("--with-parent", action="store_true", help="stop when stdin is closed")
    parser.add_argument("--markers", action="store_true", help="list the markers and exit")
    parser.add_argument("--wrongs", action="store_true", help="list the ways to be wrong and exit")
    options = parser.parse_args()
    if options.markers or options.wrongs:
        sys.stdout.write((marker_table() if options.markers else wrong_table()) + "\n")
        return
    try:
        backend = Backend(
            port=options.port,
            key=options.key,
            models=[options.model],
            strict=options.strict,
            wrong=options.wrong,
            concurrency=options.concurrency,
        )
    except ValueError as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt), backend:
        if options.strict or options.wrong:
            backend.reply = Obedient(pace=options.pace)
        if options.reply is not None:
            backend.script(options.reply)
        # One line of JSON, so that whoever started this process can read the port. Flushed, as stdout may be a pipe.
        sys.stdout.write(json.dumps({"port": backend.port, "url": backend.url}) + "\n")
        sys.stdout.flush()
        if options.with_parent:
            sys.stdin.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main()
