"""Models that note in a file what they are asked, so that it is known after their process is killed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from langplug import Part, Request, Usage, chat_model


@chat_model
async def noting(request: Request, *, notes: str, wait_s: float = 0.0, version: int = 1) -> AsyncIterator[Part]:
    """Answers with the question; notes each question when it has it, in one write."""
    with Path(notes).open("ab", buffering=0) as file:  # noqa: ASYNC230 - the note is there before anything else is
        file.write(f"{request.text}\n".encode())
    await asyncio.sleep(wait_s)
    yield f"{version}: {request.text}"
    yield Usage(input_tokens=3, output_tokens=2)


@chat_model
def upper(request: Request) -> str:
    """Answers in capitals; fails where the text says so."""
    if "fail" in request.text:
        raise ValueError(f"{request.text} it must")
    return request.text.upper()


def noted(notes: Path) -> list[str]:
    """What was asked, in order."""
    return notes.read_text().splitlines() if notes.exists() else []


if (
    __name__ == "__main__"
):  # `python -m tests.batch.asked ROWS FOLDER WAIT_S [fail|kill LIMIT]`: a run that the tests kill
    import signal
    import sys

    from langplug import batch

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests may have it ignored

    count, folder, wait_s = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    if len(sys.argv) > 4:
        import resource  # a file that must not grow is a disk that is full

        if sys.argv[4] == "kill":  # in the middle of the write that would make a file larger
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]), int(sys.argv[5])))
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    model = noting(notes=str(folder / "notes"), wait_s=wait_s)
    batch.run(model, ({"id": n, "prompt": f"row {n}"} for n in range(count)), folder / "out.jsonl", max_concurrency=16)
