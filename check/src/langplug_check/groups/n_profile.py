"""Group N: what a profile says, and what counts without being text."""

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import HumanMessage

from langplug_check.groups._schemas import JSON_SCHEMA
from langplug_check.groups._tools import OFFERED
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_PROFILES = "https://docs.langchain.com/oss/python/langchain/models#model-profiles"


def _profile(subject: Subject) -> Mapping[str, Any]:
    """The model's profile.

    Raises:
        NotApplicable: If it has none.
    """
    profile: Any = subject.model().profile
    if not isinstance(profile, Mapping) or not profile:
        raise NotApplicable("it has no profile")
    return profile


@statement(
    "N06",
    "What its profile says of tools and structured output is what the model does.",
    why="`create_agent` goes by the profile: it asks for what the model has not, or leaves out what it has.",
    hint="""
    def _resolve_model_profile(self) -> ModelProfile | None:
        return ModelProfile(tool_calling=True)      # if, and only if, `bind_tools` takes tools
    """,
    link=_PROFILES,
)
def profile_is_true(subject: Subject) -> str:
    """Bind tools, and ask for structured output; compare with `tool_calling` and `structured_output`."""
    profile, model = _profile(subject), subject.model()
    claims: list[str] = []
    calls: Mapping[str, Callable[[], Any]] = {
        "tool_calling": lambda: model.bind_tools(list(OFFERED)),
        "structured_output": lambda: model.with_structured_output(dict(JSON_SCHEMA)),
    }
    for key, call in calls.items():
        if key not in profile:
            continue
        claims.append(f"{key}: {profile[key]}")
        try:
            call()
        except NotImplementedError as error:
            if profile[key]:
                raise Failed(f"the profile says {key}=True, and the model raised {error_text(error)}") from error
        except Exception as error:
            raise NotObserved(f"{key}: it raised {error_text(error)}") from error
    if not claims:
        raise NotApplicable("its profile says nothing of tools or structured output")
    return ", ".join(claims)


@statement(
    "N07",
    "The values of a profile are of their kind: limits are whole numbers above 0, abilities are True or False.",
    rank="could",
    why="Middleware computes with limits: `'8k'` or 0 raise far away, or summarise everything away.",
    hint="""
    ModelProfile(max_input_tokens=8192, image_inputs=False)
    """,
    link=_PROFILES,
)
def profile_values(subject: Subject) -> str:
    """Compare each value with the type that `ModelProfile` gives its key."""
    hints = {name: str(hint) for name, hint in get_type_hints(ModelProfile).items()}
    profile = _profile(subject)
    for name, value in profile.items():
        if value is None or name not in hints:
            continue  # N03 is about keys
        is_limit = "int" in hints[name] and "bool" not in hints[name]
        if is_limit and (type(value) is not int or value <= 0):
            raise Failed(f"profile[{name!r}] is {value!r}", "a whole number above 0")
        if hints[name].startswith("<class 'bool'") and type(value) is not bool:
            raise Failed(f"profile[{name!r}] is {value!r}", "True or False")
    return f"{len(profile)} keys"


@statement(
    "N08",
    "An image is not counted as the text of its data.",
    rank="could",
    why="SummarizationMiddleware takes one picture for a book, and summarises the conversation away.",
    hint="""
    def get_num_tokens_from_messages(self, messages, tools=None):
        # a fixed number for each image, and the text of the rest
        return count_tokens_approximately(messages, tools=tools)   # langchain_core.messages.utils
    """,
    link="https://github.com/langchain-ai/langchain-google/issues/879",
)
def images_are_not_text(subject: Subject) -> str:
    """Count a message with an image of a hundred thousand characters."""
    data = "iVBORw0KGgo" + "A" * 100_000
    image: Any = {"type": "image", "base64": data, "mime_type": "image/png"}
    message = HumanMessage([{"type": "text", "text": "What is this?"}, image])
    own = subject.cls.get_num_tokens_from_messages is not BaseChatModel.get_num_tokens_from_messages
    try:
        counted = subject.model().get_num_tokens_from_messages([message])
    except Exception as error:
        raise NotObserved(f"counting raised {error_text(error)}: see N01") from error
    if counted > 20_000:
        raise Failed(
            f"an image of {len(data):,} characters counts {counted:,} tokens",
            "what an image costs: some hundreds",
            blame="model" if own else "langchain-core",
        )
    return f"{counted} tokens"
