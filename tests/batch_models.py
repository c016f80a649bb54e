"""Models that answer many requests at once, by reference."""

from collections.abc import Sequence

from langplug import Request, chat_model


@chat_model(batch=True)
def upper(requests: Sequence[Request]) -> list[str]:
    """Says it louder."""
    return [request.text.upper() for request in requests]
