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
