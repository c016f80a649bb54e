"""What the checks of group M share: patience, and errors in one line."""

from langplug_check.groups._addresses import without_addresses
from langplug_check.paths import error_text

WAIT_S = 10.0
"""Seconds within which an answer that takes milliseconds arrives, however busy the machine is."""


def error_chain(error: BaseException) -> str:
    """An error in one line, and the error that it came from."""
    chain = [error]
    # Some clients raise an error from itself: without the second condition this would not end.
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    text, root = without_addresses(error_text(error)), without_addresses(error_text(chain[-1]))
    return text if text == root else f"{text} <- {root}"
