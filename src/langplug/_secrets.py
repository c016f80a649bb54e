"""Which names sound like secrets: one table for fields, headers, entries of bodies, and environment variables."""

import re

_ALWAYS = frozenset(
    {"apikey", "apikeys", "auth", "authorization", "bearer", "cookie", "cookies", "creds", "credential", "credentials"}
    | {"passphrase", "passwd", "password", "passwords", "secret", "secrets"}
)
"""Words that make a name a secret's, if they are its last: `client_secret` is one, `secret_name` is not."""

_JOINED = re.compile(
    r"(access|account|api|auth|license|master|private|secret|shared|signing|storage|subscription)keys?"
    r"|(access|api|auth|bearer|id|refresh|session)token|(api|app|client)secret"
)
"""The same, written as one word: `Authtoken`, `accesskey`."""

_OTHER_KEYS = frozenset(
    {"", "public", "primary", "foreign", "sort", "partition", "cache", "row", "column", "index", "group", "routing"}
    | {"input", "output", "prompt", "text", "content", "message", "messages", "memory", "history", "chat", "context"}
    | {"question", "answer", "response", "result", "results", "document", "documents", "source", "metadata", "state"}
    | {"config", "field", "dict", "map", "object", "lookup", "name", "id", "role", "label", "value", "path", "url"}
    | {"tool", "idempotency", "dedup", "num", "n", "max", "min", "any", "hot", "arrow", "major", "minor"}
)
"""What stands before `key` where it opens no door: databases, mappings (LangChain's `input_key`), music."""

_OTHER_TOKENS = frozenset(
    {"bos", "eos", "pad", "unk", "mask", "sep", "cls", "eot", "eom", "special", "added", "begin", "start", "end"}
    | {"stop", "first", "last", "next", "prev", "previous", "per", "each", "input", "output", "prompt", "completion"}
    | {"cached", "reasoning", "think", "thinking", "image", "audio", "video", "text", "tool", "decoder", "encoder"}
    | {"max", "min"}
)
"""What stands before `token` where it is a piece of text."""

_DOORS = frozenset({"access", "api", "auth", "bearer", "refresh", "security", "session"})
"""What stands before `tokens` where they are not pieces of text, as they are in `max_tokens`."""

_SUFFIXES = frozenset(
    {"prod", "production", "staging", "dev", "test", "live", "old", "new", "default", "backup", "secondary"}
    | {"value", "header", "json", "pem", "base64", "b64"}
)
"""Words that may follow: `OPENAI_API_KEY_PROD`."""

_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


def is_secret_name(name: str) -> bool:
    """Whether what is called `name` is a secret, more likely than not.

    Case and separators make no difference: `API_KEY`, `api-key`, `apiKey`, and with any prefix, `x-api-key` and
    `ocp-apim-subscription-key`. The last word counts, so `max_tokens`, `tokenizer`, `token_counter` and `key_points`
    are not secrets.
    """
    words = [word.lower().rstrip("0123456789") for word in _BETWEEN_WORDS.split(name)]
    words = [word for word in words if word]
    while len(words) > 1 and words[-1] in _SUFFIXES:
        words.pop()
    if not words:
        return False
    *before, last = words
    qualifier = before[-1] if before else ""
    match last:
        case "key" | "keys":
            return qualifier not in _OTHER_KEYS
        case "token":
            return qualifier not in _OTHER_TOKENS
        case "tokens":
            return qualifier in _DOORS
        case "id":
            return words[-3:] == ["access", "key", "id"]  # AWS's, by which a key is known
        case "pwd":
            return bool(before)  # by itself it is the working directory
        case "signature":  # in headers; one of a thought or of a function may be seen
            return "x" in before or qualifier in ("amz", "hmac", "webhook")
        case _:
            pass
    return last in _ALWAYS or _JOINED.fullmatch(last) is not None
