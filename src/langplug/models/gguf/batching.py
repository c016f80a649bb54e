"""Continuous batching with OpenVINO's pipeline: one thread steps it, and any thread adds to it.

What the pipeline lacks is added here:

* One request that it cannot begin, such as one with a grammar that does not compile, breaks it for all that run, and
  for good. It is built anew, and the others go on where they were.
* It draws the numbers for all requests from one generator. A request with a seed runs alone, or else its seed would
  mean nothing.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from langchain_core.exceptions import ModelAPIError, ModelInvalidRequestError

from langplug import Finish, Part, Usage
from langplug._bridge.channel import Channel
from langplug._bridge.threads import spawn
from langplug._log import log
from langplug.models.gguf.engine import closed_error
from langplug.models.gguf.process import in_flight
from langplug.models.gguf.vocabulary import TextOfTokens, Vocabulary


class Pipeline(Protocol):
    """What is used of OpenVINO GenAI's `ContinuousBatchingPipeline`."""

    def add(self, ids: Sequence[int], config: Any) -> Any:
        """Begin a request; what comes back can be read, and cancelled."""
        ...

    def step(self) -> None:
        """Have each request go on by one token, or by a piece of its prompt."""
        ...

    def has_work(self) -> bool:
        """Whether a request runs, or was cancelled and is not yet cleared away."""
        ...


class Turn:
    """One request and what has come of it.

    Args:
        ids: The tokens of the prompt.
        config: How to go on from there, as OpenVINO takes it; `max_new_tokens` is among it.
        vocabulary: What tokens stand for.
        channel: Where the parts of the answer go. It must take all that can come: a full one would stop all turns.
        on_end: Called once it has ended.
        runs_alone: Whether no other request may run beside it.
        tells_logprobs: Whether the probability of each token is told.
        tells_usage: Whether the count of tokens is told all along, for a reader who may leave at any time.
    """

    def __init__(
        self,
        ids: Sequence[int],
        config: Any,
        vocabulary: Vocabulary,
        channel: Channel[Part],
        on_end: Callable[[], None],
        *,
        runs_alone: bool = False,
        tells_logprobs: bool = False,
        tells_usage: bool = False,
    ) -> None:
        self.runs_alone = runs_alone
        self.channel = channel
        self._ids = list(ids)
        self._config = config
        self._most = config.max_new_tokens
        self._vocabulary = vocabulary
        self._text = TextOfTokens(vocabulary)
        self._tells_logprobs = tells_logprobs
        self._tells_usage = tells_usage
        self._on_end = on_end
        self._handle: Any = None
        self._given: list[int] = []
        self._to_come_again = 0

    @property
    def may_break(self) -> bool:
        """Whether it may be what broke the pipeline: a grammar is compiled when the first token is chosen."""
        return self.has_grammar and not self._given

    @property
    def has_grammar(self) -> bool:
        """Whether its answer is kept to a grammar."""
        return self._config.structured_output_config is not None

    def begin(self, pipeline: Pipeline) -> None:
        """Start it, or have it go on."""
        # A grammar, and what counts the words of the answer, begin with the answer: it must be said again from there.
        begins_anew = self.has_grammar or self._config.frequency_penalty or self._config.presence_penalty
        self._to_come_again = len(self._given) if begins_anew else 0
        said = [] if begins_anew else self._given
        self._config.max_new_tokens = self._most - len(said)
        self._handle = pipeline.add([*self._ids, *said], self._config)

    def cancel(self) -> None:
        """Have the pipeline clear it away with its next step."""
        self._handle.cancel()

    def read(self) -> bool:
        """Pass on what has come. Returns whether it has ended.

        Raises:
            ModelAPIError: If what came again after a break is not what had come before.
        """
        while self._handle.can_read():
            for output in self._handle.read().values():
                self._pass_on(list(output.generated_ids), list(output.generated_log_probs))
                if output.finish_reason.name != "NONE":
                    if text := self._text.add((), final=True):
                        self.channel.put(text)
                    self.channel.put(Finish(reason="length" if output.finish_reason.name == "LENGTH" else "stop"))
                    self.channel.put(self._usage())
                    return True
        if self._handle.get_status().name == "RUNNING":
            return False
        raise ModelAPIError(f"OpenVINO gave the request up: {self._handle.get_status().name}.")

    def end(self, error: BaseException | None = None) -> None:
        """Tell the reader that it is over."""
        self._handle = None
        self._on_end()  # first: whoever has read the end may look whether the slot is free
        self.channel.finish(error)

    def let_go(self) -> None:
        """Forget the pipeline, which is broken."""
        self._handle = None

    def _pass_on(self, tokens: list[int], logprobs: list[float]) -> None:
        if self._to_come_again:
            known = self._given[-self._to_come_again :][: len(tokens)]
            if tokens[: len(known)] != known:
                raise ModelAPIError("Another request broke OpenVINO, and this answer could not be gone on with.")
            self._to_come_again -= len(known)
            tokens, logprobs = tokens[len(known) :], logprobs[len(known) :]
        self._given += tokens
        spoken = [token for token in tokens if token not in self._config.stop_token_ids]
        if self._tells_logprobs and spoken:
            told = [
                told_as_openai(self._vocabulary.bytes_of(token), token, logprob)
                for token, logprob in zip(spoken, logprobs, strict=False)
            ]
            self.channel.put(Finish(metadata={"logprobs": {"content": told}}))
        if self._tells_usage and tokens:
            self.channel.put(self._usage())
        if text := self._text.add(spoken):
            self.channel.put(text)

    def _usage(self) -> Usage:
        return Usage(input_tokens=len(self._ids), output_tokens=len(self._given))


def told_as_openai(written: bytes, token: int, logprob: float) -> dict[str, Any]:
    """A token's probability, as OpenAI tells it."""
    text = written.decode("utf-8", "replace")
    return {"id": token, "token": text, "bytes": list(written), "logprob": min(logprob, 0.0), "top_logprobs": []}


class Batcher:
    """Runs turns side by side, first come, first served. Whoever submits them sees that they are not too many."""

    def __init__(self, make: Callable[[], Pipeline]) -> None:
        self._make = make
        self._pipeline: Pipeline | None = make()
        self._lock = threading.RLock()  # whoever closes it may be a garbage collection at any point
        self._waiting: deque[Turn] = deque()
        self._running: list[Turn] = []
        self._leaving = False  # whether a turn that may break the pipeline was cancelled, and is not yet cleared away
        self._steps = False
        self._closed = False

    @property
    def pipeline(self) -> Pipeline | None:
        """What runs the turns; None once all is over."""
        return self._pipeline

    @property
    def closed(self) -> bool:
        """Whether it takes no more turns: it was closed, or broke and could not be loaded anew."""
        return self._closed

    def submit(self, turn: Turn) -> None:
        """Run `turn` as soon as may be."""
        with self._lock:
            if self._closed:
                raise closed_error()
            self._waiting.append(turn)
            if self._steps:
                return
            self._steps = True
        try:
            spawn(self._run)
        except BaseException:
            with self._lock:
                self._steps = False
                self._waiting.remove(turn)
            raise

    def close(self) -> None:
        """Break off what runs, and let the pipeline go as soon as it has ended."""
        with self._lock:
            self._closed = True
            if not self._steps:
                self._pipeline = None

    def _run(self) -> None:
        """Step the pipeline for as long as there is something to do. It must not raise: nobody would see it there."""
        with in_flight():
            while self._begin_turns():
                pipeline = self._pipeline
                assert pipeline is not None
                try:
                    pipeline.step()
                except Exception as error:  # noqa: BLE001 - compiled code says what it likes
                    del pipeline  # else it could not be freed before the next one is made
                    self._recover(error)
                else:
                    self._read_turns()

    def _begin_turns(self) -> bool:
        """Start the turns that may run now. Returns whether there is anything to step for."""
        with self._lock:
            while self._waiting:
                turn = self._waiting[0]
                is_over = self._closed or turn.channel.closed
                alone = turn.runs_alone or any(one.runs_alone for one in self._running)
                if self._running and alone and not is_over:
                    break
                self._waiting.popleft()
                if is_over:
                    turn.end(closed_error() if self._closed else None)
                    continue
                try:
                    assert self._pipeline is not None
                    turn.begin(self._pipeline)
                except Exception as error:  # noqa: BLE001 - compiled code says what it likes
                    turn.end(_refusal(error))
                else:
                    self._running.append(turn)
            if self._running or (self._pipeline is not None and self._pipeline.has_work()):
                return True
            self._steps = False
            if self._closed:
                self._pipeline = None
            return False

    def _read_turns(self) -> None:
        self._leaving = False
        for turn in list(self._running):
            try:
                if self._closed or turn.channel.closed:
                    self._leaving |= turn.may_break
                    turn.cancel()
                    self._end(turn, closed_error() if self._closed else None)
                elif turn.read():
                    self._end(turn)
            except Exception as error:  # noqa: BLE001 - the reader raises it
                turn.cancel()
                self._end(turn, error)

    def _end(self, turn: Turn, error: BaseException | None = None) -> None:
        self._running.remove(turn)
        turn.end(error)

    def _recover(self, error: Exception) -> None:
        """Make the pipeline anew, and have all go on but the turn that broke it.

        If that could be one of several, each of them runs alone from now on: then the next break tells.
        """
        broken, self._running = self._running, []
        suspects = broken if len(broken) == 1 else [turn for turn in broken if turn.may_break]
        guilty = suspects[0] if len(suspects) == 1 and not self._leaving else None
        log.warning("OpenVINO broke with %d requests running, and is loaded anew: %s", len(broken), last_line(error))
        for turn in broken:
            turn.let_go()
        self._pipeline = None
        try:
            self._pipeline = None if self._closed else self._make()
        except Exception as failure:  # noqa: BLE001 - all readers raise it
            with self._lock:
                self._closed = True  # the next request has the whole model loaded again, or is told why it cannot be
                lost = [*broken, *self._waiting]
                self._waiting.clear()
            for turn in lost:
                turn.end(ModelAPIError(f"OpenVINO broke, and could not be loaded anew: {failure}"))
            return
        for turn in suspects or broken:
            turn.runs_alone = True
        with self._lock:
            self._waiting.extendleft(turn for turn in reversed(broken) if turn is not guilty)
        if guilty is not None:
            guilty.end(_refusal(error))


def _refusal(error: Exception) -> ModelInvalidRequestError:
    return ModelInvalidRequestError(f"OpenVINO refuses the request: {last_line(error)}")


def last_line(error: Exception) -> str:
    """What compiled code complains of; before that it tells of its source files."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
