"""OpenAI's Batch API: files of requests that are answered together, later, each as it would be by itself.

Sources: https://platform.openai.com/docs/guides/batch, and the types of openai-python (`types/batch.py`).
"""

import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from langplug_backend.dialects.dialect import ErrorObject
from langplug_backend.dialects.openai import CREATED, DIALECT, INVALID
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.faults.table import FAULTS, apply_faults
from langplug_backend.http import HttpRequest
from langplug_backend.request import ChatRequest
from langplug_backend.response import Event, FakeResponse, Transmission

BatchStep = Literal["upload", "content", "create", "list", "retrieve", "cancel"]
"""What a client may ask of the API."""

_NEXT: Final = {"validating": "in_progress", "in_progress": "finalizing", "cancelling": "cancelled"}
"""What follows a state at the look at which it has lasted long enough; `finalizing` ends as the fate says."""

_LEFT: Final = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed, as the batch was cancelled."),
}
"""The code and the message of requests that a batch has not got to."""

_PAGE: Final = 20
"""Batches of one list, unless the client asks for another number."""

_NO_REQUEST: Final = ChatRequest(dialect="openai", path="", model="", messages=(), text="", streaming=False)

AnswerLine = Callable[[HttpRequest], tuple[int, bytes | None]]
"""Answers one request of a batch: status and body; no body if its connection would have broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFate:
    """How a batch ends.

    Attributes:
        status: Its last state, unless it is cancelled.
        answers: How many of its requests it gets to, of those in the file's order; None: all.
        errors: What a failed one says: `code`, `message`, `line` of each error.
    """

    status: Literal["completed", "failed", "expired"] = "completed"
    answers: int | None = None
    errors: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True, kw_only=True)
class BatchSettings:
    """How the Batch API behaves. It may be changed at any time.

    Attributes:
        exists: Whether there is such an API; else its paths are answered with 404.
        looks: How often a batch is retrieved before its next state.
        order: The order of the output.
        most_requests: How many requests a file may hold.
        most_bytes: How large a file may be.
        fate: How batches end.
        fates: How the next ones end, one each.
        faults: What goes wrong with the next request for a step. A refusal happens in the step's place; all else, such
            as a connection that is reset, after it has had its effect.
    """

    exists: bool = True
    looks: int = 1
    order: Literal["shuffled", "reversed", "as sent"] = "shuffled"
    most_requests: int = 50_000
    most_bytes: int = 200_000_000
    fate: BatchFate = field(default_factory=BatchFate)
    fates: deque[BatchFate] = field(default_factory=deque)
    faults: defaultdict[BatchStep, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))


@dataclass(slots=True, kw_only=True)
class _Batch:
    id: str
    endpoint: str
    input_file: str
    window: str
    metadata: Any
    headers: Mapping[str, str]
    fate: BatchFate
    status: str = "validating"
    looks: int = 0
    total: int = 0
    completed: int = 0
    failed: int = 0
    errors: tuple[Mapping[str, Any], ...] = ()
    lines: list[dict[str, Any]] = field(default_factory=list)
    output_file: str | None = None
    error_file: str | None = None

    def told(self) -> dict[str, Any]:
        """The object that clients see."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": list(self.errors)} if self.errors else None,
            "input_file_id": self.input_file,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": CREATED,
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
        }


class _Refused(Exception):
    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.error = ErrorObject(status=status, message=message, type=INVALID, code=code, param=param)


class Batches:
    """The files and batches of a backend.

    Args:
        settings: How the API behaves.
        answer: Answers one request of a batch.
    """

    def __init__(self, settings: BatchSettings, answer: AnswerLine) -> None:
        self._settings = settings
        self._answer = answer
        self._files: dict[str, tuple[str, str, bytes]] = {}
        self._batches: dict[str, _Batch] = {}
        self._numbers = count(1)

    def step_of(self, method: str, path: str) -> BatchStep | None:
        """What a request asks of the API; None if it is none of it, or if there is none."""
        if not self._settings.exists:
            return None
        parts = path.rstrip("/").split("/")
        for at, name in enumerate(parts):
            known = _STEPS.get((method, name, len(parts) - at - 1))
            if known is not None and (len(parts) - at < 3 or parts[-1] in ("content", "cancel")):
                return known
        return None

    def respond(self, step: BatchStep, request: HttpRequest, body: Any) -> FakeResponse:
        """The response to a request for a step."""
        waiting = self._settings.faults[step]
        fault = waiting.popleft() if waiting else None
        did = FakeResponse()
        if fault is None or FAULTS[fault.kind].at != "request":
            try:
                did = self.perform(step, request, body)
            except _Refused as refused:
                did = DIALECT.refuse(refused.error)
        if fault is None:
            return did
        given = body if isinstance(body, dict) else {}
        context = Context(
            dialect=DIALECT, request=_NO_REQUEST, headers=request.headers, body=given, build=lambda _: did, memory={}
        )
        return apply_faults(did, (fault,), context)

    def perform(self, step: BatchStep, request: HttpRequest, body: Any) -> FakeResponse:
        """Do what is asked, as the documentation says."""
        parts = request.path.rstrip("/").split("/")
        if step == "upload":
            told: Any = self.upload(request)
        elif step == "content":
            _, _, data = self._find(self._files, parts[-2], "File")
            return FakeResponse(content_type="application/octet-stream", events=(Event(raw=data),))
        elif step == "create":
            told = self.create(request, body if isinstance(body, dict) else {})
        elif step == "list":
            told = self.page(parse_qs(request.target.partition("?")[2]))
        elif step == "retrieve":
            batch = self._find(self._batches, parts[-1], "Batch")
            self.look(batch)
            told = batch.told()
        else:
            batch = self._find(self._batches, parts[-2], "Batch")
            if batch.status in ("completed", "failed", "expired", "cancelled"):
                raise _Refused(f"Cannot cancel a batch with status '{batch.status}'.", status=409)
            batch.status, batch.looks = "cancelling", 0
            told = batch.told()
        return FakeResponse(events=(Event(data=told),))

    @staticmethod
    def _find(known: Mapping[str, Any], name: str, kind: str) -> Any:
        if name not in known:
            raise _Refused(f"No such {kind} object: {name}", status=404, param="id")
        return known[name]

    def upload(self, request: HttpRequest) -> dict[str, Any]:
        """Keep the file of a form: https://www.rfc-editor.org/rfc/rfc7578."""
        _, _, boundary = request.headers.get("content-type", "").partition("boundary=")
        fields: dict[str, tuple[str, bytes]] = {}
        for part in request.body.split(b"--" + boundary.strip('"').encode())[1:-1]:
            head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            about = dict(
                pair.strip().split("=", 1) for pair in head.decode().splitlines()[0].split(";")[1:] if "=" in pair
            )
            fields[about.get("name", "").strip('"')] = about.get("filename", "").strip('"'), data.removesuffix(b"\r\n")
        if not boundary or "file" not in fields or "purpose" not in fields:
            raise _Refused("Missing required parameter: 'file' or 'purpose'.", param="file")
        purpose, (name, data) = fields["purpose"][1].decode(), fields["file"]
        if len(data) > self._settings.most_bytes:
            raise _Refused(f"The file is larger than {self._settings.most_bytes} bytes.", status=413)
        return self._keep(name, purpose, data)

    def _keep(self, name: str, purpose: str, data: bytes) -> dict[str, Any]:
        called = f"file-{next(self._numbers)}"
        self._files[called] = name, purpose, data
        return {
            "id": called,
            "object": "file",
            "bytes": len(data),
            "created_at": CREATED,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }

    def create(self, request: HttpRequest, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a file a batch."""
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not isinstance(body.get(name), str):
                raise _Refused(f"Missing required parameter: '{name}'.", param=name)
        _, purpose, _ = self._find(self._files, body["input_file_id"], "File")
        if purpose != "batch":
            raise _Refused(f"The file's purpose is {purpose!r}; expected 'batch'.", param="input_file_id")
        waiting = self._settings.fates
        batch = _Batch(
            id=f"batch_{next(self._numbers)}",
            endpoint=body["endpoint"],
            input_file=body["input_file_id"],
            window=body["completion_window"],
            metadata=body.get("metadata"),
            headers={name: text for name, text in request.headers.items() if name == "authorization"},
            fate=waiting.popleft() if waiting else self._settings.fate,
        )
        self._batches[batch.id] = batch
        return batch.told()

    def page(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """The batches after one, the newest first."""
        newest = list(self._batches.values())[::-1]
        names = [batch.id for batch in newest]
        begins = names.index(query["after"][0]) + 1 if query.get("after", [""])[0] in names else 0
        most = int(query.get("limit", [str(_PAGE)])[0])
        some = newest[begins : begins + most]
        return {
            "object": "list",
            "data": [batch.told() for batch in some],
            "first_id": some[0].id if some else None,
            "last_id": some[-1].id if some else None,
            "has_more": begins + most < len(newest),
        }

    # --- what becomes of a batch ---

    def look(self, batch: _Batch) -> None:
        """Somebody looks: that is this API's clock."""
        batch.looks += 1
        if batch.looks < self._settings.looks or batch.status not in (*_NEXT, "finalizing"):
            return
        batch.looks = 0
        if batch.status == "validating":
            self.validate(batch)
            if batch.errors or batch.fate.status == "failed":
                batch.errors, batch.status = batch.errors or batch.fate.errors, "failed"
                return
            self.answer_lines(batch)
        batch.status = _NEXT.get(batch.status, batch.fate.status)
        if batch.status in ("completed", "expired", "cancelled"):
            self.write_files(batch)

    def validate(self, batch: _Batch) -> None:
        """Read the requests of a batch, and say what is wrong with them."""
        lines = self._files[batch.input_file][2].splitlines()
        wrong: list[dict[str, Any]] = []
        seen: set[str] = set()
        models: set[str] = set()
        for number, line in enumerate(lines, 1):
            asked: dict[str, Any] = {}
            try:
                asked = json.loads(line)
                known, model = str(asked["custom_id"]), str(asked["body"].get("model"))
                models.add(model)
                code = (
                    "duplicate_custom_id" if known in seen
                    else "invalid_method" if asked["method"] != "POST"
                    else "mismatched_url" if asked["url"] != batch.endpoint
                    else "mismatched_model" if len(models) > 1
                    else ""
                )  # fmt: skip
                seen.add(known)
            except (ValueError, KeyError, TypeError, AttributeError):
                code = "invalid_json_line"
            if code:
                wrong.append({"code": code, "message": f"Line {number}: {code}.", "param": None, "line": number})
            else:
                batch.lines.append(asked)
        if len(lines) > self._settings.most_requests:
            message = f"The file has {len(lines)} requests, more than {self._settings.most_requests}."
            wrong.append({"code": "too_many_tasks", "message": message, "param": None, "line": None})
        batch.total, batch.errors = len(lines), tuple(wrong)

    def answer_lines(self, batch: _Batch) -> None:
        """Answer what the batch gets to, each as if it had come by itself; the log has them, too."""
        for line in batch.lines[: batch.fate.answers]:
            data = json.dumps(line["body"]).encode()
            status, said = self._answer(
                HttpRequest(method="POST", target=line["url"], headers=batch.headers, body=data, keep=True)
            )
            if said is None:  # whatever broke: what OpenAI says of it
                line["outcome"] = {"response": None, "error": {"code": "server_error", "message": "It broke off."}}
            else:
                try:
                    body = json.loads(said)
                except ValueError:
                    body = said.decode(errors="replace")
                response = {"status_code": status, "request_id": f"req_{next(self._numbers)}", "body": body}
                line["outcome"] = {"response": response, "error": None}
            batch.completed += status < 400 and said is not None
            batch.failed += status >= 400 or said is None

    def write_files(self, batch: _Batch) -> None:
        """The files of a batch that has ended: of what was answered, and of what failed."""
        code, message = _LEFT.get(batch.status, ("server_error", "It was left out."))
        answered: list[bytes] = []
        failed: list[bytes] = []
        for line in batch.lines:
            outcome = line.get("outcome", {"response": None, "error": {"code": code, "message": message}})
            told = {"id": f"batch_req_{next(self._numbers)}", "custom_id": line["custom_id"], **outcome}
            is_answered = outcome["error"] is None and outcome["response"]["status_code"] < 400
            (answered if is_answered else failed).append(json.dumps(told).encode() + b"\n")
        for lines in (answered, failed):
            if self._settings.order == "reversed":
                lines.reverse()
            elif self._settings.order == "shuffled":
                random.Random(batch.id).shuffle(lines)  # noqa: S311 - the same each time
        if answered:
            batch.output_file = self._keep("output.jsonl", "batch_output", b"".join(answered))["id"]
        if failed:
            batch.error_file = self._keep("errors.jsonl", "batch_output", b"".join(failed))["id"]


_STEPS: Final[Mapping[tuple[str, str, int], BatchStep]] = {
    ("POST", "files", 0): "upload",
    ("GET", "files", 2): "content",
    ("POST", "batches", 0): "create",
    ("GET", "batches", 0): "list",
    ("GET", "batches", 1): "retrieve",
    ("POST", "batches", 2): "cancel",
}
"""The steps by method, collection, and how many parts of the path follow."""


def body_of(transmission: Transmission) -> bytes | None:
    """The body of a response that is sent whole; None if it breaks off."""
    sent = b"".join(write.data for write in transmission.writes)
    return None if transmission.broken or transmission.ending != "keep" else sent.partition(b"\r\n\r\n")[2]
