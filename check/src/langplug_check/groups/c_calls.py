"""Group C: the parameters of one call, and `generate`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langplug_backend import Exchange, Reply, Tokens
from langplug_check.paths import BUGS, Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_PARAMETERS = "https://docs.langchain.com/oss/python/langchain/models#parameters"

TEMPERATURE = 0.15625
"""A temperature that is found nowhere by chance, and is the same in binary and decimal."""


@statement(
    "C15",
    "A parameter of one call, such as `temperature`, reaches what answers, once, and does not stick.",
    why="`bind(temperature=0)` makes one chain exact; it must neither be lost nor change the model for everybody else.",
    hint="""
    params = {"temperature": self.temperature, **kwargs}   # in `_generate` and `_stream` alike; never set it on self
    """,
    link=_PARAMETERS,
    needs=("requests",),
)
def parameters_of_a_call(subject: Subject) -> None:
    """Call with a temperature, directly and bound, then without; count it in the requests."""
    if not subject.takes("temperature"):
        raise NotApplicable("its constructor takes no temperature")
    for path in ("invoke", "stream"):
        model = subject.says("Hello.")
        _check_counted(
            subject, f"{path}(temperature={TEMPERATURE})", 1, _asked(subject, model, path, temperature=TEMPERATURE)
        )
        bound = model.bind(temperature=TEMPERATURE)
        _check_counted(subject, f"bind(temperature={TEMPERATURE}).{path}()", 1, _asked(subject, bound, path))
        _check_counted(subject, f"{path}() after that", 0, _asked(subject, model, path))


def _asked(subject: Subject, model: Any, path: PathName, /, **kwargs: Any) -> Outcome:
    outcome = subject.ask(model, None, path, **kwargs)
    if outcome.error is not None:
        given = "".join(f" with {name}={value!r}" for name, value in kwargs.items())
        raise Failed(f"{path}{given} raised {shown(outcome.error)}", "an answer")
    return outcome


def _check_counted(subject: Subject, call: str, expected: int, _: Outcome) -> None:
    count = list(_leaves(_sent(subject, subject.exchanges[-1]))).count(TEMPERATURE)
    if count != expected:
        raise Failed(f"the request of {call} has the temperature {count} times", f"{expected}")


def _sent(subject: Subject, exchange: Exchange) -> Any:
    """The parameters of a request: of a server's the whole body, of a function's those that the call was given."""
    if not subject.lacks("backend"):
        return exchange.body
    return exchange.request.params if exchange.request else {}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


@statement(
    "C16",
    "`model=` of one call reaches what answers, and `response_metadata['model_name']`.",
    why="Routers choose the model call by call, and costs are counted by the name in the metadata.",
    hint="""
    name = kwargs.pop("model", self.model_name)   # send it, and tell it:
    AIMessage(content=text, response_metadata={"model_name": name})
    """,
    link=_PARAMETERS,
    needs=("requests",),
)
def model_of_a_call(subject: Subject) -> None:
    """Call with another model's name, and look for it in the request and in the message."""
    if not any(map(subject.takes, ("model", "model_name", "model_id"))):
        raise NotApplicable("its constructor takes no model name")
    for path in ("invoke", "stream"):
        model = subject.says("Hello.")
        name = _another_name(model)
        outcome = _asked(subject, model, path, model=name)
        asked = subject.exchanges[-1].request
        sent = asked.model if asked else None
        told = outcome.answer.response_metadata.get("model_name")
        if not _is_named(sent, name):
            raise Failed(f"{path}(model={name!r}) asked for the model {sent!r}")
        if not _is_named(told, name):
            raise Failed(f"{path}(model={name!r}): response_metadata['model_name'] is {told!r}", repr(name))


def _another_name(model: Any) -> str:
    """Another name, with the provider before it where the model's own has one, as LiteLLM wants it."""
    own = next((name for name in (getattr(model, field, None) for field in ("model", "model_name")) if name), "")
    provider, slash, _ = str(own).partition("/")
    return f"{provider}/another-model" if slash else "another-model"


def _is_named(found: Any, name: str) -> bool:
    return found in (name, name.rpartition("/")[2])


@statement(
    "C17",
    "`generate(..., n=2)` gives two generations with ids of their own, or is refused.",
    why="Who asked for several answers, to vote or to choose, must not take one for all.",
    hint="""
    if kwargs.get("n", 1) != 1:
        raise ValueError("AcmeChat gives one answer to a call: use batch()")
    """,
    needs=("answer",),
)
def several_answers(subject: Subject) -> str:
    """Ask for two answers to one prompt."""
    scripted = not subject.lacks("replies")
    model: Any = subject.says(Reply(text="one", others=("two",))) if scripted else subject.model()
    if _means_something_else(model, subject.prompt):
        raise NotApplicable(f"its own parameter `n` is no number of answers: with n={model.n}, there is one")
    try:
        result = model.generate([[HumanMessage(subject.prompt)]], n=2)
    except Exception as error:
        if isinstance(error, BUGS):
            raise Failed(
                f"generate(..., n=2) raised {shown(error)}", "an error that says why there is one only"
            ) from error
        return f"refused: {shown(error)}"
    generations = result.generations[0]
    if len(generations) != 2:
        raise Failed(f"generate(..., n=2) gave {len(generations)} generation, without a word", "2, or an error")
    ids = [one.message.id for one in generations if isinstance(one, ChatGeneration)]
    if len(set(ids)) != 2 or not all(ids):
        raise Failed(f"the ids of the two generations are {ids}", "an id for each")
    texts = [one.text for one in generations]
    if scripted and texts != ["one", "two"]:
        raise Failed(f"the two generations say {texts}", "['one', 'two']")
    return "two generations"


def _means_something_else(model: Any, prompt: str) -> bool:
    """Whether `n` is a field of the class that says something else, as in the echo model of LangChain's page."""
    if getattr(model, "n", None) in (None, 1):
        return False
    return len(model.generate([[HumanMessage(prompt)]]).generations[0]) == 1


# --- generate ---

PROMPTS = ("first words", "second words")

_USED = Tokens(input=5, output=3)


@statement(
    "C18",
    "`generate` of two prompts gives each its generation and its run, and the usage of both in "
    "`llm_output['token_usage']`.",
    why="Callbacks that count tokens and older code read the result in this form.",
    hint="""
    def _combine_llm_outputs(self, llm_outputs: list[dict | None]) -> dict:
        # what `_generate` put into ChatResult(llm_output={"token_usage": {...}}), added up. langchain-core puts it into
        # `response_metadata` too: have `_stream` put the same there, on its last chunk, see E07
        usages = [Counter(output["token_usage"]) for output in llm_outputs if output]
        return {"token_usage": dict(sum(usages, Counter()))}
    """,
    link="https://reference.langchain.com/python/langchain-core/outputs/llm_result/LLMResult",
    needs=("answer",),
)
def generate_of_two(subject: Subject) -> str:
    """Call `generate` and `agenerate` with two prompts."""
    told = ""
    for name, result in _generated(subject):
        messages = _check_shape(subject, name, result)
        runs = {info.run_id for info in result.run or ()}
        if len(runs) != len(PROMPTS):
            raise Failed(f"{name} of two prompts tells of {len(runs)} runs", "2")
        told = _check_usage(name, messages, result.llm_output or {})
    return told


def _generated(subject: Subject) -> Iterator[tuple[str, LLMResult]]:
    given = [[HumanMessage(prompt)] for prompt in PROMPTS]
    for name in ("generate", "agenerate"):
        model = _repeating(subject)
        try:
            result = model.generate(given) if name == "generate" else run(model.agenerate(given), alone=False)
        except (Failed, NotObserved):
            raise
        except Exception as error:
            raise Failed(f"{name} of two prompts raised {shown(error)}", "an LLMResult") from error
        yield name, result


def _repeating(subject: Subject) -> Any:
    if subject.lacks("replies"):
        return subject.real()
    return subject.says(lambda asked: Reply(text=asked.text, usage=_USED))


def _check_shape(subject: Subject, name: str, result: LLMResult) -> list[AIMessage]:
    sizes = [len(generations) for generations in result.generations]
    if sizes != [1, 1]:
        raise Failed(f"{name} of two prompts gave lists of {sizes} generations", "[1, 1]")
    generations = [generations[0] for generations in result.generations]
    texts = [one.text for one in generations]
    if not subject.lacks("text") and texts != list(PROMPTS):
        raise Failed(f"{name} of {list(PROMPTS)}, to be repeated, gave {texts}")
    messages = [one.message for one in generations if isinstance(one, ChatGeneration)]
    if len(messages) != len(PROMPTS):
        raise Failed(f"{name} gave {[type(one).__name__ for one in generations]}", "ChatGeneration for each")
    return [message for message in messages if isinstance(message, AIMessage)]


def _check_usage(name: str, messages: Sequence[AIMessage], output: Mapping[str, Any]) -> str:
    reported = [message.usage_metadata for message in messages if message.usage_metadata]
    if not reported:
        return "two generations, two runs; no usage is reported"
    total = sum(usage["total_tokens"] for usage in reported)
    combined = output.get("token_usage")
    if not isinstance(combined, Mapping):
        raise Failed(
            f"{name}: llm_output is {dict(output)!r:.120}, though the messages report {total} tokens",
            f"a token_usage with {total} tokens",
        )
    if _total(combined) != total:
        raise Failed(f"{name}: token_usage is {dict(combined)!r:.160}", f"{total} tokens, as its messages have it")
    return f"two generations, two runs, {total} tokens"


def _total(usage: Mapping[str, Any]) -> Any:
    if "total_tokens" in usage:
        return usage["total_tokens"]
    return sum(usage.get(name) or 0 for name in ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens"))


_SPOKEN = "One two three."
"""Three tokens, for the backend."""


@statement(
    "C23",
    "Log probabilities that were asked for are in `response_metadata['logprobs']`.",
    why="Evaluators and classifiers read them there.",
    hint="""
    AIMessage(content=text, response_metadata={"logprobs": choice["logprobs"]})   # of each chunk, in a stream
    """,
    link="https://docs.langchain.com/oss/python/langchain/models#log-probabilities",
    needs=("backend",),
)
def log_probabilities(subject: Subject) -> str:
    """Construct with `logprobs=True`, and look into the messages of `invoke` and `stream`."""
    if not subject.takes("logprobs"):
        raise NotApplicable("its constructor takes no `logprobs`")
    count = 0
    for path in ("invoke", "stream"):
        outcome = subject.ask(subject.says(_SPOKEN, logprobs=True), None, path)
        message, asked = outcome.answer, subject.exchanges[-1].request
        if asked is None or True not in _leaves(asked.params.get("logprobs")):
            raise Failed(f"{path}: logprobs=True of the constructor is not in the request")
        if asked.dialect != "openai":
            raise NotObserved(f"the backend gives no log probabilities in the dialect {asked.dialect!r}")
        count = len(_entries(message.response_metadata.get("logprobs")))
        if count != len(_SPOKEN.split()):
            raise Failed(f"{path}: response_metadata has log probabilities of {count} of {len(_SPOKEN.split())} tokens")
    return f"{count} tokens with their log probabilities"


def _entries(logprobs: Any) -> list[Any]:
    found = logprobs.get("content") if isinstance(logprobs, Mapping) else logprobs
    return list(found) if isinstance(found, list | tuple) else []
