"""Loads every file of this folder, so that `FAULTS` is complete, and applies faults to a response."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

from langplug_backend import faults as folder
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.faults.kind import FAULTS
from langplug_backend.response import FakeResponse

__all__ = ["FAULTS", "apply_faults"]

for _module in iter_modules(folder.__path__):
    # A file registers its kinds as it is imported, so a new one need be named nowhere.
    import_module(f"{folder.__name__}.{_module.name}")


def apply_faults(response: FakeResponse, faults: Sequence[Fault], context: Context) -> FakeResponse:
    """The response with these faults: refusals first, then the others in their order.

    A refusal can only be spoilt further by faults of the connection: it has no stream to edit. A fault without a
    meaning in the dialect gives status 501 and says so, so that no test passes because nothing happened.
    """
    for fault in sorted(faults, key=lambda fault: FAULTS[fault.kind].at != "request"):
        kind = FAULTS[fault.kind]
        if kind.dialects and context.dialect.name not in kind.dialects:
            message = f"The fault {fault.kind!r} has no meaning in the {context.dialect.name} dialect."
            return context.dialect.refuse(replace(context.error("invalid_request", message), status=501))
        refused = response.status != 200
        if (context.request.streaming or not kind.streams) and (not refused or kind.at in {"accept", "connection"}):
            response = kind.handler(response, fault, context)
    return response
