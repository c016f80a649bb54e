"""The echo model of LangChain's page "How to create a custom chat model class", written with langplug's rule."""

from collections.abc import Iterator

from pydantic import Field

from langplug import ChatModel, Finish, Part, Request, Usage
from langplug._model.fields import ReasoningTags


class CustomChatModelAdvanced(ChatModel):
    """Echoes the first `n` characters of the last message, one character a chunk.

    It behaves as the page shows. Because it is deterministic, it is also a simple test double.

    Example:
        >>> CustomChatModelAdvanced(model_name="my_custom_model", n=3).invoke("Meow!").content
        'Meo'
    """

    tool_calling = "off"

    model_name: str = "echo"
    """What the model calls itself in metadata and traces; `model` is another name for the argument."""

    n: int = Field(ge=0)
    """How many characters of the last message to echo. A shorter message is echoed whole."""

    reasoning_tags: ReasoningTags = None
    """None: what is echoed is never taken for reasoning."""

    @property
    def _llm_type(self) -> str:
        return "echoing-chat-model-advanced"

    def respond(self, request: Request, /) -> Iterator[Part]:
        """Yield the characters, then what the page puts into the metadata: three seconds, under both its names."""
        echoed = request.text[: self.n]
        yield from echoed
        # Characters stand for tokens, as on the page.
        yield Usage(input_tokens=len(request.text), output_tokens=len(echoed))
        yield Finish(reason="stop", metadata={"time_in_sec": 3, "time_in_seconds": 3})
