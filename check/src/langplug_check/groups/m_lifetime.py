"""Group M: what is left of models that nobody holds any more."""

import gc

from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.trial import belongings
from langplug_check.verdicts import Failed, NotObserved

_MODELS = 5


@statement(
    "M11",
    "Models that were made, used and dropped leave no thread, descriptor or process behind.",
    why="Applications make one for each user or request, with a key of its own, and run out of files after some hours.",
    hint="""
    # close what the model opened when it is collected, and share clients between instances
    weakref.finalize(self, client.close)
    """,
    needs=("answer",),
    limit_s=60.0,
)
def dropped_models(subject: Subject) -> None:
    """Make some models, ask each, and drop it; count threads, descriptors and child processes before and after."""

    def ask_and_drop() -> None:
        outcome = subject.ask(subject.model())
        if outcome.error is not None:
            raise NotObserved(f"it did not answer: {error_text(outcome.error)}")
        subject.tidy()

    ask_and_drop()  # what is made once is there then
    gc.collect()
    before = belongings()
    for _ in range(_MODELS):
        ask_and_drop()
    gc.collect()
    new = {name: len(there - before[name]) for name, there in belongings().items()}
    if grown := {name: count for name, count in new.items() if count >= _MODELS}:
        left = " and ".join(f"{count} {name}" for name, count in grown.items())
        raise Failed(f"{_MODELS} models left {left} behind", "nothing")
