"""The model that a verb is about: `REF` and `--with` on the command line, the same for each verb."""

import argparse
from typing import TYPE_CHECKING, Any, Final

from langplug.cli._exit import UsageError, error_text, stands_alone

if TYPE_CHECKING:  # imported when a model is loaded: langchain-core alone takes a second
    from langchain_core.language_models import BaseChatModel

DEFAULT_MODEL: Final = "langplug.models:ChatGGUF"
"""The embedded model: SmolLM2-135M-Instruct."""

EMBEDDED: Final = "smollm2"
"""What `pull` and `serve` call it."""

ON_REFERENCES: Final = """\
REF is one of these:
  package.module:attribute    an instance, a class, a function or a factory
  ./file.py:attribute         the same, in a file
  http://localhost:8000/v1    a server with an OpenAI-compatible API; #NAME at
                              the end says which model, if it has several
  ./weights.gguf              a file of weights
  ./SmolLM2-135M-Instruct     a folder with a Hugging Face model
  openai:gpt-4o               a provider and a model, through LangChain's
                              init_chat_model
  replay:./talk.yaml          a cassette: answers that were recorded before
  name                        a model of an installed package"""
"""For the help of each verb that takes a reference. Each line has less than 80 columns, and is shown as it is."""


def add_model_arguments(parser: argparse.ArgumentParser, *, default: str = "", required: bool = False) -> None:
    """Declare REF and `--with`, as `args.ref` and `args.settings`.

    Args:
        parser: The verb's.
        default: What the help says of the reference that is left out.
        required: Whether it must not be left out.
    """
    number: dict[str, Any] = {} if required else {"nargs": "?"}
    parser.add_argument("ref", metavar="REF", help=f"the model; see below{f' {default}' if default else ''}", **number)
    parser.add_argument(
        "--with",
        metavar="NAME=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="a constructor argument of the model, as JSON or plain text, such as temperature=0; may be given several "
        "times. Secrets come from the environment: api_key=env:ACME_KEY",
    )


def load_model(reference: str, settings: dict[str, Any], *, hint: str = "") -> "BaseChatModel":
    """The model that a command line refers to.

    Args:
        reference: What refers to it.
        settings: Its constructor arguments.
        hint: What is said besides of a reference that looks like no reference.

    Raises:
        UsageError: If there is none, or if it does not take these settings.
        ModelError: If it is behind a server, and that fails.
    """
    from langchain_core.exceptions import ModelError

    from langplug import load

    try:
        return load(reference, **settings)
    except ModelError:
        raise  # the reference was right: what failed may pass
    except Exception as error:
        is_one_word = not any(sign in reference for sign in ":/")
        told = error_text(error)
        where = "" if reference in told or stands_alone(error) else f"{reference!r}: "
        raise UsageError(where + told + (hint if is_one_word else "")) from error
