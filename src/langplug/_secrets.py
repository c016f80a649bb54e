"""Which names sound like secrets: one table for fields, headers, entries of bodies, and environment variables.

There are two degrees. `api_key`, `hf_token` and `password` are unmistakable: a class that declares one as plain text is
refused. `token`, `key` and `auth` are ambiguous: a value under such a name is hidden, unless its author says with
`Public` that it may be seen.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

T = TypeVar("T")

MASK: Final = "**********"
"""What is shown in the place of a secret, as pydantic's `SecretStr` does."""


class PublicMarker:
    """What `Public` adds to an annotation."""

    def __repr__(self) -> str:
        return "Public"


Public: TypeAlias = Annotated[T, PublicMarker()]
"""Declares that a field may be shown although its name sounds like a secret's: `key: Public[str] = "C major"`."""


_CERTAIN = frozenset(
    {"apikey", "apikeys", "authorization", "creds", "credential", "credentials", "passphrase", "passcode", "passw"}
    | {"passwd", "passwds", "password", "passwords", "passwort", "secret", "secrets"}
)
"""Words that are a secret's name by themselves, and the last word of one: `client_secret`, not `secret_name`."""

_LIKELY = frozenset(
    {"ak", "sk", "aksk", "auth", "bearer", "cookie", "cookies", "csrf", "dsn", "hmac", "jwt", "otp", "pat", "pin"}
    | {"psk", "pwd", "sessionid", "sig", "tokenkey", "xsrf"}
)
"""The same, where the word may mean something else."""

_JOINED = re.compile(
    r"\w*(access|account|api|app|auth|encryption|license|master|private|secret|shared|signing|storage|subscription)keys?"
    r"|\w*(access|api|app|auth|bearer|bot|client|hf|id|refresh|session)tokens?"
    r"|\w*(password|passwd|passphrase|secret|credentials?)|\w*(admin|db|login|my|root|user)pwd"
)
"""Certain words that are written as one: `Authtoken`, `accesskey`, `myapikey`, `dbpassword`."""

_VENDORS = frozenset(
    {"anthropic", "aws", "azure", "bedrock", "cerebras", "cohere", "dashscope", "databricks", "deepseek", "discord"}
    | {"fireworks", "gcp", "gemini", "github", "gitlab", "google", "groq", "hf", "huggingface", "ibm", "jina"}
    | {"langchain", "langfuse", "langsmith", "minimax", "mistral", "moonshot", "nvidia", "ollama", "openai"}
    | {"openrouter", "perplexity", "qianfan", "replicate", "sambanova", "slack", "stripe", "tavily", "telegram"}
    | {"together", "vault", "vertex", "voyage", "wandb", "watsonx", "xai", "zhipuai"}
)
"""Whose key or token is one that opens a door. They may also follow, as in `API_KEY_OPENAI`."""

_KEYS_TO_DOORS = _VENDORS | {
    "access", "account", "admin", "api", "app", "auth", "authorization", "client", "decryption", "deploy", "encryption",
    "license", "master", "private", "rsa", "secret", "security", "service", "shared", "signing", "ssh", "storage",
    "subscription", "webhook",
}  # fmt: skip
"""What stands before `key` where it certainly opens one."""

_TOKENS_TO_DOORS = _VENDORS | {
    "access", "admin", "api", "app", "auth", "authorization", "authentication", "bearer", "bot", "client", "csrf",
    "deploy", "id", "jwt", "login", "oauth", "personal", "private", "refresh", "sas", "secret", "security", "service",
    "session", "xsrf",
}  # fmt: skip
"""What stands before `token` where it certainly is not a piece of text."""

_OTHER_KEYS = frozenset(
    {"public", "primary", "foreign", "sort", "partition", "cache", "row", "column", "index", "group", "routing"}
    | {"input", "output", "prompt", "text", "content", "message", "messages", "memory", "history", "chat", "context"}
    | {"question", "answer", "response", "result", "results", "document", "documents", "source", "metadata", "state"}
    | {"config", "field", "dict", "map", "object", "lookup", "name", "id", "role", "label", "value", "path", "url"}
    | {"tool", "idempotency", "dedup", "num", "n", "max", "min", "any", "hot", "arrow", "major", "minor"}
    | {"json", "translation", "natural", "unique", "composite", "shortcut", "order", "data", "musical", "yaml"}
)
"""What stands before `key` where it opens no door: databases, mappings (LangChain's `input_key`), music."""

_OTHER_TOKENS = frozenset(
    {"bos", "eos", "pad", "unk", "mask", "sep", "cls", "eot", "eom", "special", "added", "begin", "start", "end"}
    | {"stop", "first", "last", "next", "prev", "previous", "per", "each", "input", "output", "prompt", "completion"}
    | {"cached", "reasoning", "think", "thinking", "image", "audio", "video", "text", "tool", "decoder", "encoder"}
    | {"max", "min", "assistant", "system", "boi", "eoi", "prefix", "suffix", "middle", "newline", "separator"}
    | {"trigger", "draft", "new", "total", "num", "word", "response", "vision", "placeholder", "extra"}
)
"""What stands before `token` where it is a piece of text."""

_OTHER_SIGNATURES = frozenset({"thought", "thinking", "reasoning", "function", "call", "tool", "type", "method", "key"})
"""What stands before `signature` where it may be seen: content blocks, functions, music."""

_SUFFIXES = frozenset(
    {"prod", "production", "staging", "dev", "test", "live", "old", "new", "default", "backup", "primary", "secondary"}
    | {"value", "header", "json", "pem", "base64", "b64", "str", "raw", "plaintext", "v"}
)
"""Words that may follow: `OPENAI_API_KEY_PROD`, and `api_key_v2`, whose number is taken off before."""

_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


def is_secret_name(name: str, *, certain: bool = False) -> bool:
    """Whether what is called `name` is a secret, more likely than not.

    Case and separators make no difference: `API_KEY`, `api-key`, `apiKey`, and with any prefix, `x-api-key` and
    `ocp-apim-subscription-key`. The last word counts, so `max_tokens`, `tokenizer`, `token_counter` and `key_points`
    are not secrets.

    Args:
        name: The name of a field, a header, an entry of a dict or an environment variable.
        certain: Whether only an unmistakable name will do: `api_key` and `hf_token`, not `token`.
    """
    degree = _degree(name)
    return degree == "certain" if certain else degree is not None


@lru_cache(maxsize=4096)
def _degree(name: str) -> Literal["certain", "likely"] | None:  # noqa: C901, PLR0912 - a table, read from the top
    if name in ("PWD", "OLDPWD"):  # every shell's environment has them: the working directories
        return None
    words = [word.lower().rstrip("0123456789") for word in _BETWEEN_WORDS.split(name)]
    words = [word for word in words if word]
    if words == ["key", "value"]:  # a pair
        return None
    while len(words) > 1 and (words[-1] in _SUFFIXES or (words[-1] in _VENDORS and len(words) > 2)):
        words.pop()
    if not words:
        return None
    *before, last = words
    qualifier = before[-1] if before else ""
    match last:
        case "key" | "keys":
            if qualifier in _OTHER_KEYS:
                return None
            return "certain" if qualifier in _KEYS_TO_DOORS else "likely"
        case "token":
            if qualifier in _OTHER_TOKENS:
                return None
            return "certain" if qualifier in _TOKENS_TO_DOORS else "likely"
        case "tokens":  # else pieces of text, as in `max_tokens`
            return "certain" if qualifier in _TOKENS_TO_DOORS - {"id"} else None
        case "id" if words[-3:] == ["access", "key", "id"]:  # AWS's, by which a key is known
            return "certain"
        case "id":
            # Vault's `secret_id` opens a door, AWS's `SecretId` is a name. `session_id` names a conversation in
            # LangChain and LangSmith, and opens one as a header.
            return "likely" if qualifier == "secret" or (qualifier == "session" and "x" in before) else None
        case "pat" if qualifier in _VENDORS:
            return "certain"
        case "sign" | "ticket":  # by themselves a plus, or what a customer has written
            return "likely" if qualifier in {"x", "api", "access", "auth", "login"} else None
        case "pwd" if before:
            return "certain"
        case "signature" | "signatures":
            return None if qualifier in _OTHER_SIGNATURES else "likely"
        case "session":  # a header's; anybody else's may be an object or a name
            return "likely" if "x" in before else None
        case "string":
            return "likely" if qualifier == "connection" else None
        case _:
            pass
    if last in _CERTAIN or _JOINED.fullmatch(last):
        return "certain"
    return "likely" if last in _LIKELY else None


NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Where the keys of a JSON schema are names that it describes, and not names of values."""

_SCHEMA_KEYWORDS = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "properties"})
_SCHEMA_VALUES = frozenset({"default", "const", "enum", "example", "examples"})


def schema_without_values(value: Any) -> dict[str, Any] | None:
    """The JSON schema of something with a secret's name, without the values that it gives; None if it is no schema."""
    if not isinstance(value, dict) or _SCHEMA_KEYWORDS.isdisjoint(value):
        return None
    return {key: item for key, item in value.items() if key not in _SCHEMA_VALUES}


NAMES_IN_RECORDS = ("name", "key", "header", "field")
VALUES_IN_RECORDS = frozenset({"value", "values", "val", "content", "data", "text"})
"""As in lists of headers or of environment variables: `{"name": "X-Api-Key", "value": ...}`."""


def secret_entries(record: Mapping[str, Any]) -> frozenset[str]:
    """The keys under which a record may hold a secret, such as `{"name": "X-Api-Key", "value": ...}`."""
    names = (record.get(key) for key in NAMES_IN_RECORDS)
    return VALUES_IN_RECORDS if any(type(name) is str and is_secret_name(name) for name in names) else frozenset()


def secret_items(items: Sequence[Any]) -> set[int]:
    """Where in a list the values of secrets stand: of a header as a pair, after an option such as `--api-key`."""
    found = {at + 1 for at, one in enumerate(items) if type(one) is str and one[:1] == "-" and is_secret_name(one)}
    # Two words in a list need not be a pair, so its name must be unmistakable.
    if len(items) == 2 and type(items[0]) is str and is_secret_name(items[0], certain=type(items) is not tuple):
        found.add(1)
    return found


def is_public(metadata: list[Any]) -> bool:
    """Whether `Public` is among what an annotation adds to its type."""
    return any(isinstance(one, PublicMarker) or one is PublicMarker for one in metadata)


# To the last `@`: a password may hold one, as people write them, and HTTP clients take it so.
_USER_IN_URL = re.compile(r"(?<=://)([^/\s:@]*):[^/?#\s\"'<>]+(?=@)")
_TOKEN_IN_URL = re.compile(r"(?<=://)(?!git@)[^/\s:@]+(?=@)")
_QUERY_OF_URL = re.compile(r"(?<=[?&#])([\w.~-]+)=([^&#\s]+)")
_IN_QUERIES = frozenset({"key", "sig", "sign", "signature", "ticket"})

_HEADER = re.compile(r"\s*([\w-]{1,64}):[ \t]*(\S[^\r\n]*)\s*")
# The look-behind makes long words cheap: the base64 of an image is looked at once, and not from each of its letters.
_ASSIGNED = re.compile(r"""(?<![\w.~-])([\w.~-]{1,64})=("[^"]*"|'[^']*'|[^;&\s"']+)""")


def hide_in_text(text: str) -> str:
    """`text` with what in it is named like a secret hidden.

    That is in URLs `https://me:secret@host/?api_key=secret`, a header on a line of its own (`Authorization: Bearer x`),
    options of programs (`--api-key=x`), and connection strings (`AccountKey=x;`, `host=h password=x`). Outside of URLs
    only unmistakable names count, as other texts hold such signs, too.
    """
    if "://" in text:
        text = _USER_IN_URL.sub(lambda found: f"{found[1]}:{MASK}", text)
        text = _TOKEN_IN_URL.sub(MASK, text)
    if "?" in text or "://" in text:  # some clients' errors quote what follows the host alone
        text = _QUERY_OF_URL.sub(
            lambda found: f"{found[1]}={MASK}" if found[1] in _IN_QUERIES or is_secret_name(found[1]) else found[0],
            text,
        )
    if "=" in text:
        text = _ASSIGNED.sub(
            lambda found: f"{found[1]}={MASK}" if is_secret_name(found[1], certain=True) else found[0], text
        )
    if ":" in text and (header := _HEADER.fullmatch(text)):
        name = header[1]
        may_be = "-" in name or name.lower() == "cookie"  # `key: C major` is not a header
        return f"{name}: {MASK}" if is_secret_name(name, certain=not may_be) else text
    return text
