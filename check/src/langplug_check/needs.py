"""What a check needs of the model under check, so that there is something to see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from langplug_check.verdicts import NotApplicable, NotObserved, Outcast

Need: TypeAlias = Literal[
    "answer", "text", "replies", "pace", "faults", "requests", "backend", "streaming", "async", "tools", "structured"
]
"""What a check may need:

* `"answer"`: that the model answers at all, here and now;
* `"text"`: that it can be made to say a given text;
* `"replies"`: any reply: calls, reasoning, usage, finish reasons;
* `"pace"`: that it can be made to take its time;
* `"faults"`: that it can be made to meet trouble;
* `"requests"`: that it is seen what reached what answers;
* `"backend"`: that this is a server, spoken to over a wire;
* `"streaming"`, `"async"`: that it streams, or is asynchronous, by its own code;
* `"tools"`, `"structured"`: that it calls tools, or gives objects of a schema.
"""


@dataclass(frozen=True, slots=True)
class Lack:
    """What is said of a check whose need is not met."""

    verdict: type[Outcast]
    reason: str


LACKS: Mapping[Need, Lack] = {
    "answer": Lack(NotObserved, "the model does not answer here"),
    "text": Lack(NotObserved, "what the model says cannot be chosen: it is neither langplug's nor known by a recipe"),
    "replies": Lack(
        NotObserved, "what the model answers cannot be chosen: it is neither langplug's nor known by a recipe"
    ),
    "pace": Lack(NotObserved, "the model cannot be made to take its time"),
    "faults": Lack(NotObserved, "the model cannot be made to meet trouble: it is neither langplug's nor in a recipe"),
    "requests": Lack(NotObserved, "what reaches that which answers cannot be seen"),
    "backend": Lack(NotApplicable, "the model answers in this process and speaks to no server"),
    "streaming": Lack(NotApplicable, "the model does not stream: it has neither `_stream` nor `_astream`"),
    "async": Lack(NotApplicable, "the model has no asynchronous code of its own"),
    "tools": Lack(NotApplicable, "the model calls no tools: it has no `bind_tools`, or has them turned off"),
    "structured": Lack(
        NotApplicable, "the model gives no structured output: it has neither tools nor a way of its own"
    ),
}
