"""What is said of a model before a conversation with it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from langplug.models.gguf.weights import KNOWN


def describe_model(model: BaseChatModel, reference: str) -> list[str]:
    """The model's name, its class, where it is, and how much it takes; of known weights, what they are good for.

    Args:
        model: The model, langplug's or another package's.
        reference: What it was called by, which may be all that there is to say.
    """
    named: Any = None
    with suppress(Exception):  # LangSmith's parameters are an author's own code
        # langchain-core documents the hook, though its name is private.
        named = model._get_ls_params().get("ls_model_name")  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    # Some models say the path of their weights.
    name = Path(str(named)).name if named else reference
    facts = [f"{name} ({type(model).__name__})"]
    places = (getattr(model, attribute, None) for attribute in ("base_url", "path"))
    facts += [place for place in places if isinstance(place, str) and place]
    tokens = (model.profile or {}).get("max_input_tokens")
    if isinstance(tokens, int):
        facts.append(f"{tokens:,} tokens of context")
    lines = [" · ".join(facts)]
    known = next((weights for weights in KNOWN.values() if weights.filename.removesuffix(".gguf") == name), None)
    if known is not None:
        lines.append(f"Good for {known.good_for}.")
    return lines
