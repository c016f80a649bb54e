"""A module that starts a thread as it is imported, in every process but that of the tests."""

import sys
import threading
import time

from tests.check.bench import Reference

if "pytest" not in sys.modules:
    threading.Thread(target=time.sleep, args=(5,), daemon=True, name="loud").start()


class Loud(Reference):
    """Comes from here."""
