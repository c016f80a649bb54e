"""Group O: the author's own function, called as it is, before any script takes its place. See `trial` for the calls."""

from langchain_core.exceptions import ModelError

from langplug import ChatModel
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.trial import MARKERS, STREAM_PATHS, WHOLE_PATHS, Attempt, prompt_of
from langplug_check.verdicts import Failed, NotObserved, PartlyObserved

_LIMIT_S = 90.0
"""Seconds that a statement of this group may take: the model may have to load its weights."""


@statement(
    "O01",
    "The model answers when it is called as it is.",
    rank="must",
    why="Nothing else matters as long as it does not.",
    hint="""
    # call it by hand, and mend what it raises:
    model.invoke("Say only the word walrus.")
    """,
    limit_s=_LIMIT_S,
)
def answers(subject: Subject) -> str:
    """Invoke it with a short prompt."""
    attempt = subject.trial.alone()
    if attempt.error is not None:
        raise Failed(f"invoke({prompt_of(MARKERS[0])!r}) raised {error_text(attempt.error)}", "an answer")
    return f"{attempt.text[:60]!r}, within {attempt.seconds:.2f} s"


@statement(
    "O02",
    "It answers on every path: `invoke`, `ainvoke`, `stream`, `astream` and `batch`.",
    rank="must",
    why="LangChain, LangGraph and servers call a model by all of them.",
    hint="""
    # one function is enough, synchronous or not: langplug derives every path from it
    class Mine(ChatModel):
        async def respond(self, request): ...
    """,
    limit_s=_LIMIT_S,
)
def answers_everywhere(subject: Subject) -> str:
    """Ask the same by each path."""
    subject.trial.answer()
    attempts = subject.trial.everything()
    for attempt in attempts:
        if attempt.error is not None:
            raise Failed(f"{attempt.path} raised {error_text(attempt.error)}", "an answer, as invoke gives it")
    empty = [attempt.path for attempt in attempts if not attempt.text.strip()]
    if 0 < len(empty) < len(attempts):
        raise Failed(f"{', '.join(empty)} gave no text, and the other paths did", "a text by each path")
    return ", ".join(f"{attempt.path} {attempt.seconds:.2f} s" for attempt in attempts)


@statement(
    "O09",
    "It gives only what a chat model may give: parts to langplug, messages and chunks to LangChain.",
    rank="must",
    why="Anything else is an error at the first call, or is passed on to whoever expects a message.",
    hint="""
    # langplug: yield text, Reasoning, ToolCall, Usage, Finish, a content block or a message
    yield str(value)
    # a class of LangChain's own: ChatResult from `_generate`, ChatGenerationChunk from `_stream`
    """,
    limit_s=_LIMIT_S,
)
def gives_parts(subject: Subject) -> None:
    """Look at what came by each path, and at the errors of langplug's that say what was given."""
    attempts = [subject.trial.alone()]
    if attempts[0].error is None:
        attempts = subject.trial.everything()
    for attempt in attempts:
        if (
            isinstance(attempt.error, TypeError)
            and issubclass(subject.cls, ChatModel)
            and " gave " in str(attempt.error)
        ):
            raise Failed(f"{attempt.path}: {error_text(attempt.error)}", "parts")
    subject.trial.answer()
    for attempt in attempts:
        allowed = {"AIMessageChunk"} if attempt.path in STREAM_PATHS else {"AIMessage", "AIMessageChunk"}
        if attempt.error is None and (strange := attempt.kinds - allowed):
            raise Failed(f"{attempt.path} gave {', '.join(sorted(strange))}", " or ".join(sorted(allowed)))


@statement(
    "O03",
    "Prompts that are asked at once each get the answer to their own.",
    rank="must",
    why="Every server asks one model several things at once: users must not read each other's answers.",
    hint="""
    # keep what belongs to a call in local variables: not on `self`, not in a module
    def respond(self, request):
        text = request.text
    """,
    limit_s=_LIMIT_S,
)
def keeps_prompts_apart(subject: Subject) -> str:
    """Ask four prompts one by one, then at once from threads, then in tasks, and compare.

    Answers are compared word for word where the same prompt gets the same answer each time; else by a word that each
    prompt asks for, if each answer has its own; else nothing can be said.
    """
    trial = subject.trial
    trial.answer()
    alone = trial.one_by_one()
    for attempt in alone.values():
        _raise_unless_answered(attempt, "alone")
    texts = {marker: attempt.text for marker, attempt in alone.items()}
    if len(set(texts.values())) == 1:
        for attempt in (*trial.in_threads(), *trial.in_tasks()):
            _raise_unless_answered(attempt, "one of several at once")
        raise PartlyObserved("no crash; its answers are all the same, so none can be mixed up")
    same = len({trial.on_path(path).text for path in (*WHOLE_PATHS, *STREAM_PATHS)}) == 1
    marked = all(_markers_in(text) == {marker} for marker, text in texts.items())
    for how, attempts in (("thread", trial.in_threads()), ("task", trial.in_tasks())):
        for marker, attempt in zip(MARKERS, attempts, strict=False):
            _raise_unless_answered(attempt, f"in one of {len(attempts)} {how}s")
            asked, got = prompt_of(marker), attempt.text
            others = {text for name, text in texts.items() if name != marker}
            is_another = same and got in others and got != texts[marker]
            names_another = marked and marker not in _markers_in(got) and bool(_markers_in(got))
            if is_another or names_another:
                raise Failed(
                    f"{asked!r} in one of {len(attempts)} {how}s got {got[:60]!r}, the answer to another",
                    repr(texts[marker][:60]),
                )
            # Neither its own nor another's, nor its own in other words. Asked once more, it shows whether it says the
            # same each time.
            is_odd = same and got != texts[marker] and not marked and marker not in _markers_in(got)
            if is_odd and trial.again("invoke", marker).text == texts[marker]:
                raise Failed(f"{asked!r} in one of {len(attempts)} {how}s got {got[:60]!r}", repr(texts[marker][:60]))
    if not same and not marked:
        raise NotObserved("its answers differ from call to call, so nothing shows whose an answer is")
    return "compared word for word" if same else "compared by the word that each prompt asks for"


def _markers_in(text: str) -> set[str]:
    return {marker for marker in MARKERS if marker in text.lower()}


def _raise_unless_answered(attempt: Attempt, how: str) -> None:
    if attempt.error is None:
        return
    if isinstance(attempt.error, ModelError) and attempt.error.is_retryable:  # such as a limit of calls a second
        raise NotObserved(f"{attempt.path}, {how}: {error_text(attempt.error)}")
    raise Failed(f"{attempt.path}, {how}, raised {error_text(attempt.error)}", "an answer")


@statement(
    "O04",
    "It does not change the messages of its caller.",
    rank="must",
    why="The same list is sent again, stored in LangGraph's state, and shown in traces.",
    hint="""
    # read from the messages, and copy what is to be changed
    text = request.messages[-1].content + "!"
    """,
    limit_s=_LIMIT_S,
)
def leaves_messages_alone(subject: Subject) -> None:
    """Compare the messages that were given before and after each call."""
    trial = subject.trial
    trial.answer()
    for attempt in trial.everything():
        if attempt.changed:
            raise Failed(f"{attempt.path} turned {prompt_of(MARKERS[0])!r} into {attempt.changed}", "the same messages")


@statement(
    "O05",
    "Its asynchronous calls leave the event loop to others.",
    rank="must",
    why="One call that blocks stops every other user of a server.",
    hint="""
    # await what waits, and run what can only block in a thread; or write a plain `def`, which langplug runs in one
    await asyncio.sleep(1)                          # not time.sleep(1)
    text = await asyncio.to_thread(engine.run, prompt)
    """,
    limit_s=_LIMIT_S,
)
def leaves_the_loop_alone(subject: Subject) -> str:
    """While it answers, count the turns that another task gets; what seems blocked is asked once more."""
    trial = subject.trial
    trial.answer()
    seen: list[str] = []
    for path in ("ainvoke", "astream"):
        attempt = trial.on_path(path)
        if attempt.loop is None:
            raise NotObserved(f"{path} raised {error_text(attempt.error)}")
        if attempt.loop.is_blocked:  # it may have loaded its weights, once
            attempt = trial.again(path, MARKERS[0])
        if attempt.loop is not None and attempt.loop.is_blocked:
            raise Failed(
                f"{path}: of {attempt.seconds:.2f} s, the loop stood still for {attempt.loop.seconds:.2f} s",
                "the loop goes on",
            )
        seen.append(f"{path}: {attempt.loop.seconds if attempt.loop else 0:.2f} s of {attempt.seconds:.2f} s")
    return f"stood still for {'; '.join(seen)}"


@statement(
    "O06",
    "Leaving a stream half-way ends it.",
    why="Who has gone away should cost nothing more.",
    hint="""
    # no bare `except:` and no `except BaseException` around a yield, and stop what runs elsewhere in `finally`
    try:
        yield part
    finally:
        engine.stop()
    # or look at `request.cancelled` where nothing is yielded
    """,
    limit_s=_LIMIT_S,
)
def ends_when_left(subject: Subject) -> str:
    """Close a stream after its first chunk; then look whether its generators are closed, and no thread goes on."""
    for path in STREAM_PATHS:
        if wrong := subject.trial.leave(path):
            raise Failed(f"{path}, left after its first chunk: {wrong}", "its own code has ended")
    return "its own code had ended"


@statement(
    "O07",
    "Cancelling an `ainvoke` ends it.",
    why="When a client disconnects, a server cancels: a call that goes on costs money.",
    hint="""
    # let CancelledError through: no bare `except:`, no `except BaseException`, no `asyncio.shield`
    # a blocking function looks at `request.cancelled` now and then
    """,
    limit_s=_LIMIT_S,
)
def ends_when_cancelled(subject: Subject) -> None:
    """Cancel it while it waits; then look whether its own code has ended."""
    if wrong := subject.trial.cancel():
        raise Failed(f"a cancelled ainvoke: {wrong}", "the call is cancelled, and its own code has ended")


@statement(
    "O08",
    "Its calls leave nothing behind: no threads, descriptors, processes or tasks.",
    why="What each call leaves is gone after some thousand calls: memory, or the right to open files.",
    hint="""
    # close what a call opens in the call; keep what may be shared, such as a client, in a resource
    with open(path) as file: ...

    @resource
    def client(self):
        with httpx.Client() as client:
            yield client
    """,
    limit_s=_LIMIT_S,
)
def leaves_nothing(subject: Subject) -> None:
    """Count what there is before and after three calls of `invoke`; what is made once does not count."""
    subject.trial.answer()
    if grown := subject.trial.left_behind():
        left = " and ".join(f"{count} {name}" for name, count in grown.items())
        raise Failed(f"3 calls left {left} behind", "nothing")
