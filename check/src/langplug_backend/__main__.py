"""`python -m langplug_backend`: the backend in a process of its own."""

import argparse
import contextlib
import sys
import threading

from langplug_backend.control import line
from langplug_backend.server import Backend


def main() -> None:
    """Serve until interrupted; with `--with-parent`, until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m langplug_backend", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: the system chooses; it is printed as JSON")
    parser.add_argument("--key", help="the key that clients have to send")
    parser.add_argument("--reply", help="what every request gets; may hold [[markers]]; default: the prompt itself")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin does")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt), Backend(port=given.port, key=given.key) as backend:
        if given.reply is not None:
            backend.script(given.reply)
        sys.stdout.write(line(backend.port) + "\n")
        sys.stdout.flush()
        if given.with_parent:
            sys.stdin.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main()
