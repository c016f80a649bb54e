"""The batch API of OpenAI, and of whoever offers the same: files, and batches of the requests in them.

Source: https://platform.openai.com/docs/api-reference/batch.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from langchain_core.exceptions import ModelAPIError, ModelError

from langplug import adopt
from langplug._http.client import HTTPRequest
from langplug._http.request import join_address
from langplug._stream.reader import JsonObjectReader, Reader
from langplug.models import ChatEndpoint

_MISSING: Final = (404, 405, 501)
"""The statuses of servers that do not have the API."""

_WINDOW: Final = "24h"
"""Within which a batch is to be answered: the only one that the API knows."""

_PAGE: Final = 100


class BatchAPI:
    """A server's batch API, asked with a model's key, headers and address.

    Args:
        model: The model.

    Each method raises:
        ModelError: If the server does not do what it is asked.
    """

    def __init__(self, model: ChatEndpoint) -> None:
        self._model: Any = adopt(model, max_answer_bytes=None)  # an output holds the answers of a whole batch

    async def upload(self, lines: Iterable[bytes]) -> str:
        """Keep a file of requests at the server. Returns its id.

        Raises:
            ValueError: If the server has no batch API.
            ModelError: As said.
        """
        boundary = uuid.uuid4().hex
        form = bytearray(
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="langplug-{int(time.time())}.jsonl"'
            "\r\nContent-Type: application/jsonl\r\n\r\n".encode()
        )
        for line in lines:
            form += line
        form += f"\r\n--{boundary}--\r\n".encode()
        try:
            return str(
                (await self._ask("POST", "files", bytes(form), f"multipart/form-data; boundary={boundary}"))["id"]
            )
        except ModelError as error:
            if getattr(error, "status_code", None) not in _MISSING:
                raise
            raise ValueError(
                f"the server at {self._model.base_url} has no batch API (POST /files is answered with "
                f"{error.status_code}): leave out `via`, and each row is asked by itself"  # type: ignore[attr-defined] # see above
            ) from error

    async def create(self, file: str, url: str) -> str:
        """Have the requests of a file answered. Returns the batch's id."""
        asked = {"input_file_id": file, "endpoint": url, "completion_window": _WINDOW}
        return str((await self._ask("POST", "batches", json.dumps(asked).encode()))["id"])

    async def retrieve(self, batch: str) -> dict[str, Any]:
        """How a batch is."""
        return await self._ask("GET", f"batches/{batch}")

    async def cancel(self, batch: str) -> None:
        """Have no more of a batch answered."""
        await self._ask("POST", f"batches/{batch}/cancel", b"")

    async def find(self, file: str) -> str | None:
        """The id of the batch that was made of a file; None if there is none."""
        after: dict[str, Any] = {}
        while True:
            page = await self._ask("GET", "batches", query={"limit": _PAGE, **after})
            batches = page.get("data") or []
            for batch in batches:
                if batch.get("input_file_id") == file:
                    return str(batch["id"])
            if not page.get("has_more") or not batches:
                return None
            after = {"after": batches[-1]["id"]}

    async def lines(self, file: str) -> AsyncIterator[dict[str, Any]]:
        """The lines of a file, as they come."""
        asked = HTTPRequest(
            url=join_address(self._model.base_url, f"files/{file}/content", {}), method="GET", headers={}
        )
        answer = await self._model.send(asked, lambda _: _LineReader())
        try:
            while (parts := await answer.read()) is not None:
                for line in parts:
                    assert isinstance(line, dict)  # as `_LineReader` gives nothing else
                    yield line
        finally:
            answer.close()

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        request = HTTPRequest(
            url=join_address(self._model.base_url, path, query or {}),
            method=method,
            body=body,
            headers={"Content-Type": content_type} if body is not None else {},
            may_repeat=method == "GET",  # a batch that is created twice is paid for twice
        )
        new_reader: Callable[[str], Reader] = lambda _: JsonObjectReader()  # noqa: E731
        answer = await self._model.send(request, new_reader)
        try:
            told: list[Any] = list(await answer.read() or ())
        finally:
            answer.close()
        return dict(told[0])


def endpoint_of(model: Any) -> ChatEndpoint:
    """The model, if it is one of a server's.

    Raises:
        ValueError: If it is another one.
    """
    if isinstance(model, ChatEndpoint):
        return model
    raise ValueError(
        f"a provider's batch API is asked with a ChatEndpoint, such as https://api.openai.com/v1#gpt-4o-mini, not with "
        f"{model.reported_name}"
    )


class _LineReader:
    """Reads a body of JSON objects, one a line, as its parts."""

    def __init__(self) -> None:
        self.finished = False
        self._held: list[bytes] = []

    def feed(self, data: bytes) -> Sequence[dict[str, Any]]:
        """The lines that the next bytes complete."""
        self._held.append(data)
        if b"\n" not in data:
            return []
        *lines, rest = b"".join(self._held).split(b"\n")
        self._held = [rest]
        return self._load(lines)

    def end(self) -> Sequence[dict[str, Any]]:
        """The last line, if it has no end."""
        return self._load([b"".join(self._held)])

    def _load(self, lines: Iterable[bytes]) -> list[dict[str, Any]]:
        try:
            return [dict(json.loads(line)) for line in lines if line.strip()]
        except (TypeError, ValueError) as error:
            raise ModelAPIError(f"A line of the server's file is not a JSON object: {error}.") from error
