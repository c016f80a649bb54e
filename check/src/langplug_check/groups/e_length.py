"""Group E: what a long answer costs."""

import time

from langplug_backend import Reply
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

_FEW, _MANY = 250, 1000
"""Pieces of a short answer, and of one that is four times as long."""

_WORST = 9.0
"""How many times as long it may take: 4 where each piece costs the same, 16 where each costs all before it."""

_ATTEMPTS = 2


@statement(
    "E17",
    "What a stream costs grows with the length of the answer, and not with its square.",
    rank="could",
    why="Long answers, reports and code, take a processor for seconds, on a server that has others to answer.",
    hint="""
    # at each piece, work on that piece: do not parse, join or count again all that came before it
    yield ChatGenerationChunk(message=AIMessageChunk(piece))
    """,
    needs=("replies", "streaming"),
    limit_s=60.0,
)
def cost_grows_with_length(subject: Subject) -> str:
    """Stream an answer, and one four times as long; compare the time that the processor took for each."""
    path = subject.streams[0]
    subject.ask(subject.says(Reply(text="Warm.")), None, path)  # what is loaded at the first call is not counted

    def cost(pieces: int) -> float:
        seconds = []
        for _ in range(_ATTEMPTS):
            model = subject.says(Reply(pieces=("word ",) * pieces))
            began = time.process_time()
            subject.ask(model, None, path).answer  # noqa: B018 - an error here is a failure
            seconds.append(time.process_time() - began)
        return min(seconds)

    short, long = cost(_FEW), cost(_MANY)
    if long > _WORST * short:
        raise Failed(
            f"{path} of {_FEW} pieces takes {short:.2f} s of the processor, and of {_MANY} pieces {long:.2f} s",
            "about four times as long",
        )
    return f"{long / _MANY * 1e6:.0f} µs a piece"
