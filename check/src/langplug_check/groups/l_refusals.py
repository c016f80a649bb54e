"""Group L: refusals and reasoning as standard content, and on their way back."""

from typing import Any

from langchain_core.messages import HumanMessage

from langplug import ChatModel
from langplug_backend import Reply
from langplug_check.groups._runs import FOUR
from langplug_check.groups._streams import need_reasoning
from langplug_check.groups._tools import DECLINED, last_exchange, request_in
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Blame, Failed, NotApplicable

_REFUSAL = "https://reference.langchain.com/python/langchain-core/messages/content/RefusalContentBlock"

_THOUGHT, _TEXT = "First I think. ", "Then I say."


@statement(
    "L06",
    "With `output_version='v1'`, a refusal is one `refusal` block of the content, whole and streamed.",
    why="Applications written for standard content read the content itself.",
    hint="""
    # a content block, with the same `index` in each chunk of a stream; leave `output_version` to langchain-core
    AIMessageChunk([{"type": "refusal", "refusal": piece, "index": 0}])
    """,
    link=_REFUSAL,
    needs=("refusals",),
)
def refusals_in_content(subject: Subject) -> None:
    """Have it decline by each path, and read the content."""
    for outcome in subject.each_path(lambda: subject.says(Reply(refusal=DECLINED), output_version="v1"), paths=FOUR):
        content: Any = outcome.answer.content
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        if [block["refusal"] for block in blocks if block.get("type") == "refusal"] != [DECLINED]:
            # langchain-core makes the content of the blocks that the message has without `output_version`.
            blame: Blame = "model" if issubclass(subject.cls, ChatModel) else "langchain-core"
            raise Failed(
                f"{outcome.path}: a refusal gave the content {content!r:.200}", f"a refusal: {DECLINED!r}", blame=blame
            )
        if outcome.answer.text:
            raise Failed(f"{outcome.path}: a refusal gave the text {outcome.answer.text!r}", "no text")


@statement(
    "L07",
    "A refusal that is sent back in the history reaches the backend with its words.",
    rank="could",
    why="A conversation goes on after a refusal; without it the model sees an answer of its own that says nothing.",
    hint="""
    # OpenAI's API takes {"role": "assistant", "refusal": text}; any other takes it as text
    """,
    link=_REFUSAL,
    needs=("refusals", "requests"),
)
def refusals_go_back(subject: Subject) -> None:
    """Have it decline, and send that with a further question."""
    model = subject.says(Reply(refusal=DECLINED), Reply(text=_TEXT))
    question = HumanMessage("How?")
    declined = subject.ask(model, [question]).answer
    outcome = subject.ask(model, [question, declined, HumanMessage("Why not?")])
    outcome.answer  # noqa: B018 - an error here is a failure
    exchange = last_exchange(subject)
    if request_in(exchange).dialect != "openai":
        raise NotApplicable("its API has no place for a refusal in the history")
    sent = str(exchange.body)
    if DECLINED not in sent:
        raise Failed(f"the refusal is not in the request: {sent:.250}", repr(DECLINED))


@statement(
    "L08",
    "With `output_version='v1'`, reasoning is a `reasoning` block before the text, whole and streamed.",
    why="What a model thinks must not be shown as what it says, nor be lost.",
    hint="""
    # langchain-core makes the block of this
    AIMessage(text, additional_kwargs={"reasoning_content": thought})
    """,
    link="https://docs.langchain.com/oss/python/langchain/messages#standard-content-blocks",
    needs=("replies",),
)
def reasoning_in_content(subject: Subject) -> None:
    """Have it think and then speak, by each path, and read the content."""
    reply = Reply(thinking=_THOUGHT, text=_TEXT)
    need_reasoning(subject, reply)
    for outcome in subject.each_path(lambda: subject.says(reply, output_version="v1"), paths=FOUR):
        content: Any = outcome.answer.content
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        kinds = [str(block.get("type")) for block in blocks]
        thought = "".join(str(block.get("reasoning", "")) for block in blocks)
        if kinds != ["reasoning", "text"] or thought.strip() != _THOUGHT.strip():
            raise Failed(f"{outcome.path}: the blocks are {kinds}, the reasoning {thought!r}", "reasoning, then text")
        if str(outcome.answer.text).strip() != _TEXT:
            raise Failed(f"{outcome.path}: the text is {str(outcome.answer.text)!r}", _TEXT)
