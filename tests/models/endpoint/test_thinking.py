"""The one field that turns reasoning on and off, as each kind of server takes it."""

from typing import Any

import pytest

from langplug.models import ChatEndpoint
from langplug_backend import Backend

BOTH = {"enable_thinking", "thinking"}


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("server", ["any", "vllm", "sglang", "llama.cpp"])
def test_servers_with_templates_get_the_templates_switches(server: str, thinking: bool) -> None:
    """What runs a chat template gets its variables."""
    with Backend() as backend:
        ChatEndpoint(model="m", base_url=backend.openai_url, server=server).invoke("Hi", thinking=thinking)
        sent: Any = backend.last.body
    assert {thinking} == {sent["chat_template_kwargs"][name] for name in BOTH}


@pytest.mark.parametrize(
    ("server", "on", "off"),
    [
        ("deepseek", {"thinking": {"type": "enabled"}}, {"thinking": {"type": "disabled"}}),
        ("openai", {}, {"reasoning_effort": "none"}),
    ],
)
def test_servers_with_a_field_get_the_field(server: str, on: Any, off: Any) -> None:
    """What has a field of its own gets that; without `thinking`, nothing is said."""
    with Backend() as backend:
        sent = []
        for given in ({"thinking": True}, {"thinking": False}, {}):
            ChatEndpoint(model="m", base_url=backend.openai_url, server=server, **given).invoke("Hi")
            body: Any = backend.last.body
            names = ("thinking", "reasoning_effort", "chat_template_kwargs")
            sent.append({name: body[name] for name in names if name in body})
    assert [on, off, {}] == sent
