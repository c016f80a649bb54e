"""JSON schemas as grammars that llama.cpp keeps its answers to.

llama.cpp's own way from a schema to a grammar forgets bounds and counts without a word. The wheels of xllamacpp hold
llguidance, whose `%json` keeps nearly all of JSON schema; but a grammar that does not compile is dropped by llama.cpp,
again without a word, so each is compiled once beforehand.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

_GUIDANCE = {"lenient": True, "whitespace_flexible": False}
"""Pass over keywords that llguidance does not know (langplug checks the answer); write compact JSON, or small models
never stop writing spaces."""


def grammar_of(schema: Mapping[str, Any]) -> str:
    """The grammar of JSON that fits `schema`, in llguidance's Lark form.

    Raises:
        ValueError: If llguidance cannot make one of it.
        ImportError: If llguidance is not installed.
    """
    return _checked(json.dumps({**_closed(schema), "x-guidance": _GUIDANCE}, ensure_ascii=False))


def _closed(schema: Any) -> Any:
    """The schema with no properties but those that it names, unless it says otherwise: small models invent more."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), Mapping) and "type" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


@lru_cache(maxsize=128)
def _checked(schema: str) -> str:
    grammar = f"%llguidance {{}}\nstart: %json {schema}"
    if problem := _matcher().validate_grammar(grammar):
        raise ValueError(f"No grammar can be made of the JSON schema {schema}: {problem}. Simplify the schema.")
    return grammar


def _matcher() -> Any:
    try:
        return import_module("llguidance").LLMatcher
    except ModuleNotFoundError:
        raise ImportError("Schemas need llguidance. Install it with: pip install 'langplug[gguf]'") from None
