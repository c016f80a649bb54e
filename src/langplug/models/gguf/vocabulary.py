"""A model's tokens: text to tokens in one piece, however long, and tokens to text as they come."""

import codecs
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

Encode = Callable[[str], Sequence[int]]

_BETWEEN_WORDS: Final = re.compile(r"(?<=[^\W\d_])(?= [^\W\d_])")
"""Where byte-pair encoders of all kinds cut a text before they look for pairs: between two words."""


def encode_all(text: str, encode: Encode, most: int) -> list[int]:
    """The tokens of `text`, by an encoder that gives `most` at once, and no word of what it has left out.

    Cut between words, each half has the tokens that it has in the whole.
    """
    ids = list(encode(text))
    if len(ids) < most or len(text) < most // 4:  # a character has four bytes at most, and a token one at least
        return ids
    middle = len(text) // 2
    cuts = [found.start() for found in _BETWEEN_WORDS.finditer(text)]
    cut = min(cuts, key=lambda at: abs(at - middle), default=middle)
    return encode_all(text[:cut], encode, most) + encode_all(text[cut:], encode, most)


class Vocabulary:
    """What each token stands for.

    Args:
        ids: The number of each token, by its bytes.
        decode: The text of a token that `ids` does not name, as one of two that stand for the same bytes.
    """

    def __init__(self, ids: Mapping[bytes, int], decode: Callable[[int], str]) -> None:
        self._bytes = {number: written for written, number in ids.items()}
        self._decode = decode

    def bytes_of(self, token: int) -> bytes:
        """What a token stands for."""
        if token not in self._bytes:
            self._bytes[token] = self._decode(token).encode()
        return self._bytes[token]


class TextOfTokens:
    """The text of tokens as they come: a character that is spread over several comes with its last one."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, tokens: Iterable[int], *, final: bool = False) -> str:
        """The text that has become whole with these tokens; with `final`, all that is left."""
        return self._decoder.decode(b"".join(map(self._vocabulary.bytes_of, tokens)), final)
