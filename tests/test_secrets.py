"""Names that sound like secrets, in fields, headers, bodies and environments."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug._secrets import MASK, hide_in_text, is_secret_name

CERTAIN = [
    "api_key", "apikey", "api_keys", "access_key", "secret_key", "private_key", "signing_key", "subscription_key",
    "openai_key", "client_key", "aws_secret_access_key", "aws_access_key_id", "hf_token", "github_token", "bot_token",
    "access_token", "api_token", "bearer_token", "auth_token", "authorization_token", "id_token", "refresh_token",
    "session_token", "x_csrf_token", "access_tokens", "authtoken", "hftoken", "authorization", "secret", "secrets",
    "app_secret", "client_secret", "clientsecret", "password", "dbpassword", "passwd", "db_pwd", "passphrase",
    "passcode", "credential", "credentials", "creds", "ocp_apim_subscription_key", "x_goog_api_key", "x_api_key",
    "github_pat", "appkey", "app_key", "apptoken", "passw", "userpwd", "api_key_v2", "api_secret_v2", "password_v10",
    "proxy_authorization", "x_amz_security_token", "api_key_openai", "secret_value", "auth_token_header", "accesskey",
]  # fmt: skip

LIKELY = [
    "token", "key", "keys", "ak", "sk", "aksk", "volc_ak", "bearer", "cookie", "cookies", "set_cookie", "auth",
    "basic_auth", "x_auth", "signature", "x_signature", "x_hub_signature_256", "jwt", "otp", "dsn", "acme_token",
    "acme_key", "connection_string", "x_session", "auth_header", "token_value",
    "user_token", "tokenkey", "token_key", "key_v2", "token2", "pat", "psk", "wifi_psk", "sessionid", "secret_id",
    "x_session_id", "csrf", "xsrf", "x_sign", "api_sign", "auth_ticket",
]  # fmt: skip

SECRET = [*CERTAIN, *LIKELY]

PLAIN = [
    "max_tokens", "max_completion_tokens", "prompt_tokens", "token_counter", "token_count", "tokenizer", "tokens",
    "tokens_per_minute", "token_limit", "token_type", "token_url", "tokenized", "num_tokens", "first_tokens",
    "eos_token", "eos_token_id", "cost_per_token", "stop_token", "image_token", "assistant_token", "id_tokens",
    "key_points", "key_value", "keyboard", "monkey", "turkey", "hockey", "keyword", "keywords", "key_file",
    "public_key", "cache_key", "sort_key", "input_key", "memory_key", "num_keys", "primary_key", "author", "authors",
    "authority", "auth_type", "auth_url", "oldpwd_", "secret_name", "password_file", "credentials_path",
    "cookie_policy", "cookie_jar", "thought_signature", "function_signature", "session_id", "client_id", "session",
    "temperature", "model", "content_type", "user_agent", "ask", "task", "risk", "mask", "break", "speak", "pinned",
    "secretary", "secretariat", "passwordless", "accessories", "api_keyword", "string", "value", "header", "raw",
    "", "_", "-", "1",
    "sign", "ticket", "ticket_id", "design", "assign", "path", "pattern", "pats", "spat", "v2", "version", "mapkeys",
    "csrf_header_name", "chat_session_id", "thread_id", "patient", "pass", "bypass", "signal",
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


WITH_SECRETS = [
    "https://{}@github.com/x",
    "https://me:{}@github.com/x",
    "postgres://me:{}@h:5432/db",
    "see https://{}@h/x, and https://you:{}@h/y",
    "https://h/x?a=b&key={}",
    "https://h/?X-Amz-Signature={}",
    "https://h/x#access_token={}&token_type=bearer",
    "Authorization: Bearer {}",
    "authorization:{}",
    "X-Api-Key: {}",
    "Cookie: a=b; c={}",
    "Proxy-Authorization: Basic {}\r\n",
    "--api-key={}",
    "--password='{}'",
    "/api_key={}",
    "API_KEY={}",
    "DefaultEndpointsProtocol=https;AccountName=n;AccountKey={}==;EndpointSuffix=core.windows.net",
    "Server=s;User Id=u;Password={};",
    "host=h user=u password={} dbname=d",
    "OPENAI_API_KEY={} python x.py",
]
WITHOUT = [
    "", "a", "=", "==", "a=b", "https://h/x", "https://h/x?a=b#part", "ssh://git@github.com/x", "git@github.com:x",
    "the key: C major", "key: C major", "Note: the password is secret", "Content-Type: application/json", "x = 1",
    "token=<eos>", "max_tokens=5", "--max-tokens=5", "a@b.example", "12:30", "https://h/@me", "User: hello\nAI: hi",
]  # fmt: skip


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_what_a_text_calls_a_secret_is_hidden_in_it(text: str) -> None:
    """In addresses, headers, options and connection strings; what stands around it stays."""
    hidden = hide_in_text(text.format("Xy-0123456789", "Xy-9876543210"))
    assert "Xy-" not in hidden
    assert MASK in hidden
    assert hidden.startswith(re.split("[{=:]", text)[0])


@pytest.mark.parametrize("text", WITHOUT)
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Prompts and addresses hold such signs as well."""
    assert text == hide_in_text(text)


@given(st.text("ab=:/@?&;#-' \n", max_size=40))
def test_hiding_in_a_text_hides_all_at_once(text: str) -> None:
    """Whatever it is, no text fails, and there is nothing more to hide in what was hidden."""
    assert hide_in_text(hide_in_text(text)) == hide_in_text(text)
