"""A model server on loopback that misbehaves on command: the backend, in a process of its own."""

import argparse
import contextlib
import json
import sys
import threading

from langplug_backend.markers import marker_table
from langplug_backend.server import Backend


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
    parser.add_argument("--with-parent", action="store_true", help="stop when stdin is closed")
    parser.add_argument("--markers", action="store_true", help="list the markers and exit")
    options = parser.parse_args()
    if options.markers:
        sys.stdout.write(marker_table() + "\n")
        return
    with contextlib.suppress(KeyboardInterrupt), Backend(port=options.port, key=options.key) as backend:
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
