"""HTTP requests in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug_backend.http import BadRequest, HttpRequest, RequestParser

REQUESTS = (
    b"GET /v1/models?a=b HTTP/1.1\r\nHost: x\r\nAccept: a\r\naccept: b\r\n\r\n"
    b"POST /a HTTP/1.1\r\nContent-Length: 7\r\nConnection: Close\r\n\r\n\r\n\r\nabc"
    b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\n\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
    b"GET /c HTTP/1.1\r\n\r\n"
)

PARSED = [
    HttpRequest(method="GET", target="/v1/models?a=b", headers={"host": "x", "accept": "a, b"}, body=b"", keep=True),
    HttpRequest(
        method="POST",
        target="/a",
        headers={"content-length": "7", "connection": "Close"},
        body=b"\r\n\r\nabc",
        keep=False,
    ),
    HttpRequest(
        method="POST", target="/b", headers={"transfer-encoding": "chunked"}, body=b"ab\n0123456789", keep=True
    ),
    HttpRequest(method="GET", target="/c", headers={}, body=b"", keep=True),
]


@given(st.lists(st.integers(0, len(REQUESTS)), max_size=30))
def test_any_split_gives_the_same_requests(cuts: list[int]) -> None:
    """Requests do not depend on how their bytes arrive: bodies by length and in chunks, one after the other."""
    parser = RequestParser()
    edges = [0, *sorted(cuts), len(REQUESTS)]
    pieces = [REQUESTS[start:end] for start, end in pairwise(edges)]
    assert PARSED == [request for piece in pieces for request in parser.feed(piece)]


def test_the_path_is_without_the_query() -> None:
    """What follows a question mark is not part of the path."""
    assert "/v1/models" == PARSED[0].path


@pytest.mark.parametrize(
    "junk",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 300_000,
    ],
)
def test_bytes_that_are_not_a_request(junk: bytes) -> None:
    """Bytes that cannot become a request are an error, and so is a head without an end."""
    with pytest.raises(BadRequest, match=r"."):
        list(RequestParser().feed(junk))
