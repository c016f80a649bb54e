"""Group C: the parameters of one call, and `generate`."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langplug_backend import Reply, Tokens
from langplug_check.paths import BUGS, Outcome, PathName, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_PARAMETERS = "https://docs.langchain.com/oss/python/langchain/models#parameters"

# --- parameters ---

TEMPERATURE = 0.15625
"""A temperature that nothing else has by chance. It is 5/32, so that no rounding on the way changes it."""


@statement(
    "C15",
    "A parameter of one call, such as `temperature`, reaches the backend, once, and does not stick.",
    why="`bind(temperature=0)` makes one chain exact; the parameter must neither get lost nor change the model for "
    "everybody else.",
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

    def check(call: str, expected: int, model: Any, path: PathName, **kwargs: Any) -> None:
        _ask(subject, model, path, **kwargs)
        exchange = subject.exchanges[-1]
        params = exchange.request.params if exchange.request else {}
        # All of the body: an API may nest its parameters. A function in this process has none.
        sent = params if subject.lacks("backend") else exchange.body
        count = list(_leaves(sent)).count(TEMPERATURE)
        if count != expected:
            raise Failed(f"the request of {call} has the temperature {count} times", f"{expected}")

    # Both paths: `_generate` and `_stream` build their requests separately in many classes.
    for path in ("invoke", "stream"):
        model = subject.says("Hello.")
        check(f"{path}(temperature={TEMPERATURE})", 1, model, path, temperature=TEMPERATURE)
        check(f"bind(temperature={TEMPERATURE}).{path}()", 1, model.bind(temperature=TEMPERATURE), path)
        check(f"{path}() after that", 0, model, path)


def _ask(subject: Subject, model: Any, path: PathName, /, **kwargs: Any) -> Outcome:
    """Ask by one path; fail, and name the parameters, if that raises."""
    outcome = subject.ask(model, None, path, **kwargs)
    if outcome.error is not None:
        given = "".join(f" with {name}={value!r}" for name, value in kwargs.items())
        raise Failed(f"{path}{given} raised {error_text(outcome.error)}", "an answer")
    return outcome


def _leaves(value: Any) -> Iterator[Any]:
    """The values in nested mappings and lists."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


@statement(
    "C16",
    "`model=` of one call reaches the backend, and `response_metadata['model_name']`.",
    why="Routers choose the model call by call, and costs are counted by the name in the metadata.",
    hint="""
    name = kwargs.pop("model", self.model_name)   # send it, and report it:
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
        model: Any = subject.says("Hello.")
        # LiteLLM puts the provider before the name, and routes by it: keep it, so that the call goes the same way.
        own = next((name for name in (getattr(model, field, None) for field in ("model", "model_name")) if name), "")
        provider, slash, _ = str(own).partition("/")
        name = f"{provider}/another-model" if slash else "another-model"
        outcome = _ask(subject, model, path, model=name)
        request = subject.exchanges[-1].request
        sent = request.model if request else None
        reported = outcome.answer.response_metadata.get("model_name")
        allowed = (name, "another-model")
        if sent not in allowed:
            raise Failed(f"{path}(model={name!r}) asked for the model {sent!r}")
        if reported not in allowed:
            raise Failed(f"{path}(model={name!r}): response_metadata['model_name'] is {reported!r}", repr(name))


@statement(
    "C17",
    "`generate(..., n=2)` gives two generations with ids of their own, or is refused.",
    rank="could",
    why="Users who ask for several answers, to vote or to choose, must not take one answer for all of them.",
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
    prompt = [[HumanMessage(subject.prompt)]]
    # The echo model of LangChain's page has a field `n` that means something else: how many characters it repeats.
    if getattr(model, "n", None) not in (None, 1) and len(model.generate(prompt).generations[0]) == 1:
        raise NotApplicable(f"its parameter `n` is not a number of answers: with n={model.n}, there is one")
    try:
        result = model.generate(prompt, n=2)
    except Exception as error:
        if isinstance(error, BUGS):
            raise Failed(
                f"generate(..., n=2) raised {error_text(error)}", "an error that says why there is only one answer"
            ) from error
        return f"refused: {error_text(error)}"
    generations = result.generations[0]
    if len(generations) != 2:
        raise Failed(f"generate(..., n=2) gave {len(generations)} generation, without a word", "2, or an error")
    # langchain-core numbers the ids that it makes itself, `run-...-0` and `run-...-1`; a provider's id is the same.
    ids = [one.message.id for one in generations if isinstance(one, ChatGeneration)]
    if len(set(ids)) != 2 or not all(ids):
        raise Failed(f"the ids of the two generations are {ids}", "an id for each")
    texts = [one.text for one in generations]
    if scripted and texts != ["one", "two"]:
        raise Failed(f"the two generations say {texts}", "['one', 'two']")
    return "two generations"


# --- generate ---

PROMPTS = ("first words", "second words")


@statement(
    "C18",
    "`generate` of two prompts gives each its generation and its run, and the usage of both in "
    "`llm_output['token_usage']`.",
    rank="could",
    why="Callbacks that count tokens, and older code, read the result in this form.",
    hint="""
    def _combine_llm_outputs(self, llm_outputs: list[dict | None]) -> dict:
        # the sum of what `_generate` put into ChatResult(llm_output={"token_usage": {...}}). langchain-core copies it
        # into `response_metadata` too: have `_stream` put the same there, on its last chunk, see E07
        usages = [Counter(output["token_usage"]) for output in llm_outputs if output]
        return {"token_usage": dict(sum(usages, Counter()))}
    """,
    link="https://reference.langchain.com/python/langchain-core/outputs/llm_result/LLMResult",
    needs=("answer",),
)
def generate_of_two(subject: Subject) -> str:
    """Call `generate` and `agenerate` with two prompts."""
    summary = ""
    for name in ("generate", "agenerate"):
        result = _generate_both(subject, name)
        messages = _check_generations(subject, name, result)
        runs = {info.run_id for info in result.run or ()}
        if len(runs) != len(PROMPTS):
            raise Failed(f"{name} of two prompts reports {len(runs)} runs", "2")
        used = [message.usage_metadata for message in messages if message.usage_metadata]
        summary = "two generations, two runs; no usage is reported"
        if not used:
            continue
        total = sum(usage["total_tokens"] for usage in used)
        # `BaseChatModel._combine_llm_outputs` returns {}: without an override the usage is lost here.
        combined = (result.llm_output or {}).get("token_usage")
        if not isinstance(combined, Mapping):
            raise Failed(
                f"{name}: llm_output is {dict(result.llm_output or {})!r:.120}, though the messages report {total} "
                "tokens",
                f"a token_usage with {total} tokens",
            )
        # The words of the keys are each provider's own.
        parts = ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens")
        if combined.get("total_tokens", sum(combined.get(part) or 0 for part in parts)) != total:
            raise Failed(f"{name}: token_usage is {dict(combined)!r:.160}", f"{total} tokens, as the messages report")
        summary = f"two generations, two runs, {total} tokens"
    return summary


def _generate_both(subject: Subject, name: str) -> LLMResult:
    prompts: list[list[BaseMessage]] = [[HumanMessage(prompt)] for prompt in PROMPTS]
    # With details, as servers report them: who adds up all entries must not trip over those that are no numbers.
    usage = Tokens(input=5, output=3, cached=2, reasoning=1)
    model = (
        subject.real()
        if subject.lacks("replies")
        else subject.says(lambda request: Reply(text=request.text, usage=usage))  # repeats the prompt
    )
    try:
        return model.generate(prompts) if name == "generate" else run(model.agenerate(prompts), alone=False)
    except (Failed, NotObserved):
        raise
    except Exception as error:
        raise Failed(f"{name} of two prompts raised {error_text(error)}", "an LLMResult") from error


def _check_generations(subject: Subject, name: str, result: LLMResult) -> list[AIMessage]:
    """Fail unless each prompt has one `ChatGeneration`, in order; the messages."""
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


# --- log probabilities ---

_LOGPROBS = "message.output_text.logprobs"
"""How the Responses API is asked for them, among what its answer is to `include`."""

_SPOKEN = "One two three."
"""Three tokens, by the test backend's count."""


@statement(
    "C23",
    "Log probabilities that were asked for are in `response_metadata['logprobs']`.",
    rank="could",
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
    tokens = len(_SPOKEN.split())
    for path in ("invoke", "stream"):
        outcome = subject.ask(subject.says(_SPOKEN, logprobs=True), None, path)
        message, request = outcome.answer, subject.exchanges[-1].request
        asked = {} if request is None else request.params
        if True not in _leaves(asked.get("logprobs")) and _LOGPROBS not in (asked.get("include") or ()):
            raise Failed(f"{path}: logprobs=True of the constructor is not in the request")
        if request is not None and request.dialect not in ("openai", "responses"):
            raise NotObserved(f"the backend gives no log probabilities in the dialect {request.dialect!r}")
        # OpenAI nests the list in `content`. The chunks of a stream add up to the whole of it: langchain-core's
        # `merge_lists` appends.
        logprobs = message.response_metadata.get("logprobs")
        entries = logprobs.get("content") if isinstance(logprobs, Mapping) else logprobs
        count = len(entries) if isinstance(entries, list | tuple) else 0
        if count != tokens:
            raise Failed(f"{path}: response_metadata has log probabilities of {count} of {tokens} tokens")
    return f"{tokens} tokens with their log probabilities"
