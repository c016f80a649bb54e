"""The Batch API: files of requests, answered together, each as it would be by itself."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from langplug_backend import Backend, BatchFate, Fault


def ask(backend: Backend, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    """The JSON of a response, whatever its status; of a file's content, its lines."""
    request = Request(f"{backend.openai_url}/{path}", body, {"Content-Type": kind}, method=method)
    try:
        with urlopen(request, timeout=10) as response:
            told = response.read()
    except HTTPError as error:
        with error:
            told = error.read()
    return [json.loads(line) for line in told.splitlines()] if path.endswith("/content") else json.loads(told)


def line(custom_id: str, text: str, **more: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **more}


def create(backend: Backend, lines: list[Any], purpose: str = "batch") -> Any:
    """The response to a batch of these lines."""
    file = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    parts = (f'name="purpose"\r\n\r\n{purpose}', f'name="file"; filename="in.jsonl"\r\n\r\n{file}')
    form = "".join(f"--b\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--b--\r\n"
    uploaded = ask(backend, "POST", "files", form.encode(), "multipart/form-data; boundary=b")
    asked = {"input_file_id": uploaded.get("id"), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return ask(backend, "POST", "batches", json.dumps(asked).encode())


def ended(backend: Backend, batch: Any) -> list[Any]:
    """The states of a batch, each time that it is looked at, until it has ended; the last is the batch."""
    seen: list[Any] = []
    while not seen or seen[-1]["status"] not in ("completed", "failed", "expired", "cancelled"):
        seen.append(ask(backend, "GET", f"batches/{batch['id']}"))
    return [*(one["status"] for one in seen), seen[-1]]


def test_a_batch_is_answered_line_by_line() -> None:
    """Each line gets what it would by itself, in the order that is set; what failed is in a file of its own."""
    with Backend() as backend:
        backend.batches.order = "reversed"
        *states, batch = ended(
            backend, create(backend, [line("a", "one"), line("b", "[[status 429]]"), line("c", "two")])
        )
        assert states == ["in_progress", "finalizing", "completed"]
        assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
        told = ask(backend, "GET", f"files/{batch['output_file_id']}/content")
        assert [one["custom_id"] for one in told] == ["c", "a"]
        assert told[1]["response"]["body"]["choices"][0]["message"]["content"] == "one"
        assert [chat.text for chat in backend.chats] == ["one", "[[status 429]]", "two"]
        (failed,) = ask(backend, "GET", f"files/{batch['error_file_id']}/content")
        assert (failed["response"]["status_code"], failed["error"]) == (429, None)
        assert failed["response"]["body"]["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("no JSON", "invalid_json_line"),
        (line("b", "x", method="GET"), "invalid_method"),
        (line("b", "x", url="/v1/responses"), "mismatched_url"),
        (line("a", "x"), "duplicate_custom_id"),
        (line("b", "x", body={"model": "other"}), "mismatched_model"),
    ],
)
def test_a_line_that_is_wrong(wrong: Any, code: str) -> None:
    """A batch with a line that is wrong fails, says which, and asks nothing."""
    with Backend() as backend:
        *_, batch = ended(backend, create(backend, [line("a", "one"), wrong]))
        assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", code)
        assert batch["errors"]["data"][0]["line"] == 2
        assert not backend.chats


def test_limits() -> None:
    """Too many lines fail, too many bytes are refused, and so is a file for another purpose."""
    with Backend() as backend:
        backend.batches.most_requests = 1
        *_, batch = ended(backend, create(backend, [line("a", "one"), line("b", "two")]))
        assert batch["errors"]["data"][0]["code"] == "too_many_tasks"
        assert "expected 'batch'" in create(backend, [line("a", "one")], "assistants")["error"]["message"]
        backend.batches.most_bytes = 10
        assert "input_file_id" in create(backend, [line("a", "one")])["error"]["message"]


@pytest.mark.parametrize(
    ("fate", "codes"),
    [
        (BatchFate(status="expired", answers=1), ["batch_expired"]),
        (BatchFate(status="completed", answers=1), ["server_error"]),
        (BatchFate(status="failed", errors=({"code": "full"},)), None),
    ],
)
def test_fates(fate: BatchFate, codes: list[str] | None) -> None:
    """The next batch ends as its fate says, with the rows that it gets to; the one after it is whole."""
    with Backend() as backend:
        backend.batches.fates.append(fate)
        *_, batch = ended(backend, create(backend, [line("a", "one"), line("b", "two")]))
        assert batch["status"] == fate.status
        if codes is None:
            assert (batch["errors"]["data"], batch["error_file_id"]) == ([{"code": "full"}], None)
        else:
            told = ask(backend, "GET", f"files/{batch['error_file_id']}/content")
            assert [one["error"]["code"] for one in told] == codes
        assert ended(backend, create(backend, [line("a", "one")]))[-1]["request_counts"]["completed"] == 1


def test_cancelled() -> None:
    """A batch that is cancelled ends with what it has answered, and cannot be cancelled again."""
    with Backend() as backend:
        backend.batches.fate = BatchFate(answers=1)
        batch = create(backend, [line("a", "one"), line("b", "two")])
        ask(backend, "GET", f"batches/{batch['id']}")
        assert ask(backend, "POST", f"batches/{batch['id']}/cancel", b"")["status"] == "cancelling"
        *_, last = ended(backend, batch)
        assert (last["status"], last["request_counts"]["completed"]) == ("cancelled", 1)
        (left,) = ask(backend, "GET", f"files/{last['error_file_id']}/content")
        assert left["error"]["code"] == "batch_cancelled"
        assert "Cannot cancel" in ask(backend, "POST", f"batches/{batch['id']}/cancel", b"")["error"]["message"]


def test_lists() -> None:
    """Batches are listed page by page, the newest first."""
    with Backend() as backend:
        made = [create(backend, [line("a", "one")])["id"] for _ in range(3)]
        page = ask(backend, "GET", "batches?limit=2")
        assert [one["id"] for one in page["data"]] == made[:0:-1]
        rest = ask(backend, "GET", f"batches?limit=2&after={page['last_id']}")
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (made[:1], False)


def test_faults_of_a_step() -> None:
    """A refusal happens in the step's place, once; everything else after the step has had its effect."""
    with Backend() as backend:
        backend.batches.faults["create"].extend([Fault.status(503), Fault(kind="close_before_headers")])
        assert create(backend, [line("a", "one")])["error"]
        assert not ask(backend, "GET", "batches")["data"]
        with pytest.raises(OSError, match=r"closed connection|reset"):
            create(backend, [line("a", "one")])
        assert len(ask(backend, "GET", "batches")["data"]) == 1


def test_what_is_not_there() -> None:
    """What is unknown is 404; so is the whole API, where a server has none."""
    with Backend() as backend:
        assert ask(backend, "GET", "batches/none")["error"]["message"] == "No such Batch object: none"
        assert ask(backend, "GET", "files/none/content")[0]["error"]["message"] == "No such File object: none"
        backend.batches.exists = False
        assert "Nothing is at" in ask(backend, "GET", "batches")["error"]["message"]
