"""The name that was probably meant, for the errors about unknown ones."""

from collections.abc import Iterable


def did_you_mean(wrong: str, known: Iterable[str], *, form: str = "{!r}", inline: bool = False) -> str:
    """A question with the nearest of `known`, with a space before it; empty where none is near.

    Args:
        wrong: The name that is unknown.
        known: The names that are known.
        form: How the name is shown, as a format string; by default quoted.
        inline: `, did you mean 'x'?`, to end a sentence, rather than ` Did you mean 'x'?`, a sentence of its own.
    """
    from difflib import get_close_matches  # only errors need it, and importing it takes milliseconds

    near = get_close_matches(wrong, list(known), n=1)
    if not near:
        return ""
    return f"{', did' if inline else ' Did'} you mean {form.format(near[0])}?"
