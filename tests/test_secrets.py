"""Names that sound like secrets, in fields, headers, bodies and environments."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug._secrets import is_secret_name

SECRET = [
    "api_key", "apikey", "api_keys", "access_key", "secret_key", "private_key", "signing_key", "subscription_key",
    "openai_key", "aws_secret_access_key", "aws_access_key_id", "token", "hf_token", "access_token", "auth_token",
    "id_token", "session_token", "x_csrf_token", "access_tokens", "authtoken", "auth", "basic_auth", "authorization",
    "bearer", "cookie", "cookies", "set_cookie", "secret", "secrets", "client_secret", "clientsecret", "password",
    "passwd", "db_pwd", "passphrase", "credential", "credentials", "creds", "x_signature", "x_hub_signature_256",
]  # fmt: skip

PLAIN = [
    "max_tokens", "max_completion_tokens", "prompt_tokens", "token_counter", "token_count", "tokenizer", "tokens",
    "eos_token", "eos_token_id", "cost_per_token", "stop_token", "key", "key_points", "keys", "keyboard", "monkey",
    "public_key", "cache_key", "sort_key", "input_key", "memory_key", "num_keys", "author", "authority", "pwd",
    "oldpwd", "secret_name", "password_file", "credentials_path", "cookie_policy", "signature", "thought_signature",
    "session_id", "client_id", "temperature", "model", "content_type", "user_agent", "", "_", "-", "1",
]  # fmt: skip

SPELLINGS: dict[str, Callable[[str], str]] = {
    "fields": lambda name: name,
    "headers": lambda name: name.replace("_", "-").title(),
    "lower headers": lambda name: name.replace("_", "-"),
    "environment": lambda name: name.upper(),
    "camel case": lambda name: re.sub("_([a-z])", lambda match: match[1].upper(), name),
    "dots": lambda name: name.replace("_", "."),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", SECRET)
def test_secrets_are_known_by_their_names(name: str, spelling: str) -> None:
    """Keys, tokens, passwords and their like, however their names are spelt."""
    assert is_secret_name(SPELLINGS[spelling](name))


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", PLAIN)
def test_what_only_holds_such_a_word_is_not_a_secret(name: str, spelling: str) -> None:
    """Numbers of tokens, keys of mappings, names and paths of secrets, and all other words."""
    assert not is_secret_name(SPELLINGS[spelling](name))


PREFIXES = st.sampled_from(["x", "ocp_apim", "my", "openai", "azure_openai", "default", "langplug"])


@given(name=st.sampled_from(SECRET), prefixes=st.lists(PREFIXES, max_size=3), spelling=st.sampled_from(list(SPELLINGS)))
def test_a_prefix_hides_no_secret(name: str, prefixes: list[str], spelling: str) -> None:
    """Whose secret it is makes no difference."""
    assert is_secret_name(SPELLINGS[spelling]("_".join([*prefixes, name])))


@given(name=st.sampled_from(SECRET), suffix=st.sampled_from(["1", "2", "prod", "dev", "json"]))
def test_a_number_or_a_place_hides_no_secret(name: str, suffix: str) -> None:
    """One of several is one as well."""
    assert is_secret_name(f"{name}_{suffix}")


@given(word=st.text("abcdefghijklmnopqrstuvwxyz", min_size=1), name=st.sampled_from(SECRET))
def test_what_follows_a_secret_word_decides(word: str, name: str) -> None:
    """A name of something else, such as `secret_rotation`, is judged by its last word."""
    assert is_secret_name(f"{name}_of_{word}") == is_secret_name(f"of_{word}")


@given(st.text())
def test_any_text_may_be_asked_about(name: str) -> None:
    """No name is an error, and upper case makes none of it less a secret."""
    if is_secret_name(name.lower()):
        assert is_secret_name(name.lower().upper()) or not name.isascii()
