"""Mutants of group N."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from tests.check.bench import Reference, mutant


@mutant("N01", "counts as langchain-core does by default, with a tokenizer from a hub")
class FromTheHub(Reference):
    get_token_ids = BaseChatModel.get_token_ids
    get_num_tokens = BaseChatModel.get_num_tokens


@mutant("N01", "counts every text as one token")
class AllAlike(Reference):
    def get_num_tokens(self, text: str) -> int:
        return 1


@mutant("N02", "cannot count messages")
class CountsNoMessages(Reference):
    def get_num_tokens_from_messages(self, *args: Any, **kwargs: Any) -> int:
        raise ImportError("transformers is not installed")


@mutant("N02", "counts nothing for messages")
class CountsTooFew(Reference):
    def get_num_tokens_from_messages(self, *args: Any, **kwargs: Any) -> int:
        return 0


@mutant("N02", "cannot count a history that begins with a result")
class NeedsTheCall(Reference):
    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        if messages and messages[0].type == "tool":
            raise ValueError("a result must follow its call")
        return super().get_num_tokens_from_messages(messages, tools)


@mutant("N04", "cannot count a history that ends in a call, which it could not go on with")
class NeedsTheResult(Reference):
    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        if getattr(messages[-1], "tool_calls", ()):
            raise ValueError("a call must be followed by its result")
        return super().get_num_tokens_from_messages(messages, tools)


@mutant("N04", "cannot count two answers in a row")
class NeedsTurns(Reference):
    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        kinds = [message.type for message in messages]
        if any(kinds[at : at + 2] == ["ai", "ai"] for at in range(len(kinds))):
            raise ValueError("roles must alternate")
        return super().get_num_tokens_from_messages(messages, tools)


@mutant("N04", "counts tools in place of the system prompt")
class ToolsInstead(Reference):
    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        return 1 if tools else super().get_num_tokens_from_messages(messages)


@mutant("N04", "cannot count with tools")
class CountsNoTools(Reference):
    def get_num_tokens_from_messages(self, messages: Any) -> int:  # type: ignore[override]  # the defect
        return super().get_num_tokens_from_messages(messages)


@mutant("N04", "counts the text of messages alone")
class TextAlone(Reference):
    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        return sum(1 + self.get_num_tokens(message.text) for message in messages)
