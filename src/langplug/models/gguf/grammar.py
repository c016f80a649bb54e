"""JSON schemas as grammars that llama.cpp keeps its answers to.

llama.cpp's own conversion of a schema to a grammar drops bounds and counts without a word. The wheels of xllamacpp hold
llguidance, whose `%json` keeps nearly all of JSON schema; but a grammar that does not compile is dropped by llama.cpp,
again without a word, so each is compiled once beforehand.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from langplug.models.gguf.compiled import import_compiled

_GUIDANCE = {"lenient": True, "whitespace_flexible": False}
"""Ignore keywords that llguidance does not know (langplug checks the answer); write compact JSON, or small models
never stop writing spaces."""


def grammar_of(schema: Mapping[str, Any]) -> str:
    """The grammar of JSON that fits `schema`, in llguidance's Lark form.

    Raises:
        ValueError: If llguidance cannot turn it into a grammar.
        ImportError: If llguidance is not installed, or cannot be imported.
    """
    return _compile(json.dumps({**close_objects(schema), "x-guidance": _GUIDANCE}, ensure_ascii=False))


def close_objects(schema: Any) -> Any:
    """The schema, in which objects have the properties that it names and no others, unless it says otherwise.

    By JSON schema's own default, any further property is allowed, and small models invent some.
    """
    if isinstance(schema, list):
        return [close_objects(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {key: close_objects(value) for key, value in schema.items()}
    # Only beside a `type`: else this may be a mapping of properties, one of which is itself called "properties".
    if isinstance(schema.get("properties"), Mapping) and "type" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


@lru_cache(maxsize=128)
def _compile(schema: str) -> str:
    grammar = f"%llguidance {{}}\nstart: %json {schema}"
    if problem := import_compiled("llguidance").LLMatcher.validate_grammar(grammar):
        raise ValueError(f"The JSON schema {schema} cannot be turned into a grammar: {problem}. Simplify the schema.")
    return grammar
