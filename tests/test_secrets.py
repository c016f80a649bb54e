"""Names that sound like secrets, in fields, headers, bodies and environments."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug._secrets import is_secret_name

CERTAIN = [
    "api_key", "apikey", "api_keys", "access_key", "secret_key", "private_key", "signing_key", "subscription_key",
    "openai_key", "client_key", "aws_secret_access_key", "aws_access_key_id", "hf_token", "github_token", "bot_token",
    "access_token", "api_token", "bearer_token", "auth_token", "authorization_token", "id_token", "refresh_token",
    "session_token", "x_csrf_token", "access_tokens", "authtoken", "hftoken", "authorization", "secret", "secrets",
    "app_secret", "client_secret", "clientsecret", "password", "dbpassword", "passwd", "db_pwd", "passphrase",
    "passcode", "credential", "credentials", "creds", "ocp_apim_subscription_key", "x_goog_api_key", "x_api_key",
    "proxy_authorization", "x_amz_security_token", "api_key_openai", "secret_value", "auth_token_header", "accesskey",
]  # fmt: skip

LIKELY = [
    "token", "key", "keys", "ak", "sk", "aksk", "volc_ak", "bearer", "cookie", "cookies", "set_cookie", "auth",
    "basic_auth", "x_auth", "signature", "x_signature", "x_hub_signature_256", "jwt", "otp", "dsn", "acme_token",
    "acme_key", "connection_string", "x_session", "auth_header", "token_value",
]  # fmt: skip

SECRET = [*CERTAIN, *LIKELY]

PLAIN = [
    "max_tokens", "max_completion_tokens", "prompt_tokens", "token_counter", "token_count", "tokenizer", "tokens",
    "tokens_per_minute", "token_limit", "token_type", "token_url", "tokenized", "num_tokens", "first_tokens",
    "eos_token", "eos_token_id", "cost_per_token", "stop_token", "image_token", "assistant_token", "id_tokens",
    "key_points", "key_value", "keyboard", "monkey", "turkey", "hockey", "keyword", "keywords", "key_file",
    "public_key", "cache_key", "sort_key", "input_key", "memory_key", "num_keys", "primary_key", "author", "authors",
    "authority", "auth_type", "auth_url", "oldpwd_", "secret_name", "secret_id", "password_file", "credentials_path",
    "cookie_policy", "cookie_jar", "thought_signature", "function_signature", "session_id", "client_id", "session",
    "temperature", "model", "content_type", "user_agent", "ask", "task", "risk", "mask", "break", "speak", "pinned",
    "secretary", "secretariat", "passwordless", "accessories", "api_keyword", "string", "value", "header", "raw",
    "", "_", "-", "1",
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
@pytest.mark.parametrize("name", CERTAIN)
def test_some_names_are_unmistakable(name: str, spelling: str) -> None:
    """What is called `api_key` or `password` cannot well be anything but a secret."""
    assert is_secret_name(SPELLINGS[spelling](name), certain=True)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", LIKELY)
def test_some_names_may_mean_something_else(name: str, spelling: str) -> None:
    """A `token` or a `key` may be a piece of text, or one of music: nothing is certain."""
    assert not is_secret_name(SPELLINGS[spelling](name), certain=True)


def test_the_working_directory_is_not_a_password() -> None:
    """`PWD` is in every shell's environment; in small letters it is how some write a password."""
    assert ([False, False], [True, True]) == (
        [is_secret_name(name) for name in ("PWD", "OLDPWD")],
        [is_secret_name(name) for name in ("pwd", "Pwd")],
    )


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
    if is_secret_name(name.lower()) and name.lower() != "pwd":
        assert is_secret_name(name.lower().upper()) or not name.isascii()
