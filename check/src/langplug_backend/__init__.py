"""A model server on loopback that speaks the dialects of model servers, and misbehaves on command.

It speaks the dialects of OpenAI, Ollama, Anthropic, Cohere and text generation inference (a file each in `dialects/`),
and misbehaves in about seventy ways (`FAULTS`, a function each in `faults/`). There are three ways to say what happens:

* `Backend.reply` and `Backend.fault`, for every request;
* `Backend.queue`, for the next requests;
* markers in the user's last message, such as `[[reset 3]]`, for models that can be given nothing but a prompt.
  `python -m langplug_backend --markers` lists them.

With `strict=True` it keeps OpenAI's Chat Completions to the letter, and with `wrong=...` it is wrong in one way
(`WRONGS`): servers to try a check of servers on, such as `langplug check --server`.

Faults of the connection strike whole answers too, in the middle of their JSON. A fault without a meaning in the
request's dialect is answered with status 501.

`python -m langplug_backend` runs the backend in a process of its own, and so does `BackendProcess`. This package
imports nothing but itself and the standard library, so that it can test any client.
"""

from langplug_backend.batches import BatchFate, BatchSettings
from langplug_backend.faults.fault import Fault
from langplug_backend.faults.kind import Kind
from langplug_backend.faults.table import FAULTS
from langplug_backend.log import Exchange
from langplug_backend.markers import MARKERS, Marker
from langplug_backend.obedient import Obedient
from langplug_backend.process import BackendProcess
from langplug_backend.reply import Call, Refusal, Reply, Thought, Tokens
from langplug_backend.request import ChatRequest, RequestMessage
from langplug_backend.server import Backend
from langplug_backend.wrongs.table import WRONGS, Wrong

__all__ = [
    "FAULTS",
    "MARKERS",
    "WRONGS",
    "Backend",
    "BackendProcess",
    "BatchFate",
    "BatchSettings",
    "Call",
    "ChatRequest",
    "Exchange",
    "Fault",
    "Kind",
    "Marker",
    "Obedient",
    "Refusal",
    "Reply",
    "RequestMessage",
    "Thought",
    "Tokens",
    "Wrong",
]
