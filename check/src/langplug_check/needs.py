"""What a check needs of the model under check, so that there is something to see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from langplug_check.verdicts import NotApplicable, NotObserved, VerdictException

Need: TypeAlias = Literal[
    "answer",
    "text",
    "replies",
    "refusals",
    "pace",
    "faults",
    "requests",
    "backend",
    "streaming",
    "async",
    "tools",
    "structured",
]
"""What a check may need:

* `"answer"`: the model answers at all, here and now;
* `"text"`: it can be made to say a given text;
* `"replies"`: it can be made to give any reply: calls, reasoning, usage, finish reasons;
* `"refusals"`: it can be made to decline, which its API tells from an answer;
* `"pace"`: it can be made to answer slowly;
* `"faults"`: it can be made to meet a fault;
* `"requests"`: the requests that reach its backend can be seen;
* `"backend"`: its backend is a server, spoken to over a wire;
* `"streaming"`, `"async"`: it streams, or is asynchronous, by its own code;
* `"tools"`, `"structured"`: it calls tools, or gives objects that fit a schema.
"""


@dataclass(frozen=True, slots=True)
class UnmetNeed:
    """The verdict on a check whose need is not met, and the reason that is given."""

    verdict: type[VerdictException]
    reason: str


# Not observed: with more knowledge of the model, such as a recipe, it could be. Not applicable: nothing is to be seen.
UNMET: Mapping[Need, UnmetNeed] = {
    "answer": UnmetNeed(NotObserved, "the model does not answer here"),
    "text": UnmetNeed(
        NotObserved, "the model's text cannot be chosen: it is not one of langplug's, and no recipe knows it"
    ),
    "replies": UnmetNeed(
        NotObserved, "the model's replies cannot be chosen: it is not one of langplug's, and no recipe knows it"
    ),
    "refusals": UnmetNeed(NotApplicable, "its API does not tell a refusal from an answer"),
    "pace": UnmetNeed(NotObserved, "the model cannot be made to answer slowly"),
    "faults": UnmetNeed(
        NotObserved, "the model cannot be made to meet a fault: it is not one of langplug's, and no recipe knows it"
    ),
    "requests": UnmetNeed(NotObserved, "the requests that reach the model's backend cannot be seen"),
    "backend": UnmetNeed(NotApplicable, "the model answers in this process and speaks to no server"),
    "streaming": UnmetNeed(NotApplicable, "the model does not stream: it has neither `_stream` nor `_astream`"),
    "async": UnmetNeed(NotApplicable, "the model has no asynchronous code of its own"),
    "tools": UnmetNeed(NotApplicable, "the model calls no tools: it has no `bind_tools`, or tools are turned off"),
    "structured": UnmetNeed(
        NotApplicable, "the model has no structured output: it has neither tools nor a method of its own"
    ),
}
"""For each need, what is said of a check when it is not met."""
