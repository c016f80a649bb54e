"""The class of LangChain's page "How to create a custom chat model class", as it stands there, on any base."""

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field


def parrot_class(base: Any) -> Any:
    """The page's `ChatParrotLink`, but for its base."""

    class ChatParrotLink(base):  # type: ignore[misc]
        """A custom chat model that echoes the first `parrot_buffer_length` characters of the input."""

        model_name: str = Field(alias="model")
        """The name of the model"""
        parrot_buffer_length: int
        """The number of characters from the last message of the prompt to be echoed."""
        temperature: float | None = None
        max_tokens: int | None = None
        timeout: int | None = None
        stop: list[str] | None = None
        max_retries: int = 2

        def _generate(
            self,
            messages: list[BaseMessage],
            stop: list[str] | None = None,
            run_manager: CallbackManagerForLLMRun | None = None,
            **kwargs: Any,
        ) -> ChatResult:
            last_message = messages[-1]
            tokens = last_message.content[: self.parrot_buffer_length]
            ct_input_tokens = sum(len(message.content) for message in messages)
            ct_output_tokens = len(tokens)
            message = AIMessage(
                content=tokens,  # type: ignore[arg-type]
                additional_kwargs={},  # Used to add additional payload to the message
                response_metadata={  # Use for response metadata
                    "time_in_seconds": 3,
                    "model_name": self.model_name,
                },
                usage_metadata={
                    "input_tokens": ct_input_tokens,
                    "output_tokens": ct_output_tokens,
                    "total_tokens": ct_input_tokens + ct_output_tokens,
                },
            )
            generation = ChatGeneration(message=message)
            return ChatResult(generations=[generation])

        def _stream(
            self,
            messages: list[BaseMessage],
            stop: list[str] | None = None,
            run_manager: CallbackManagerForLLMRun | None = None,
            **kwargs: Any,
        ) -> Iterator[ChatGenerationChunk]:
            last_message = messages[-1]
            tokens = str(last_message.content[: self.parrot_buffer_length])
            ct_input_tokens = sum(len(message.content) for message in messages)

            for token in tokens:
                usage_metadata = UsageMetadata(
                    {
                        "input_tokens": ct_input_tokens,
                        "output_tokens": 1,
                        "total_tokens": ct_input_tokens + 1,
                    }
                )
                ct_input_tokens = 0
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=token, usage_metadata=usage_metadata))

                if run_manager:
                    # This is optional in newer versions of LangChain
                    # The on_llm_new_token will be called automatically
                    run_manager.on_llm_new_token(token, chunk=chunk)

                yield chunk

            # Let's add some other information (e.g., response metadata)
            chunk = ChatGenerationChunk(
                message=AIMessageChunk(
                    content="",
                    response_metadata={"time_in_sec": 3, "model_name": self.model_name},
                )
            )
            if run_manager:
                # This is optional in newer versions of LangChain
                # The on_llm_new_token will be called automatically
                run_manager.on_llm_new_token(token, chunk=chunk)
            yield chunk

        @property
        def _llm_type(self) -> str:
            """Get the type of language model used by this chat model."""
            return "echoing-chat-model-advanced"

        @property
        def _identifying_params(self) -> dict[str, Any]:
            """Return a dictionary of identifying parameters."""
            return {
                # The model name allows users to specify custom token counting
                # rules in LLM monitoring applications (e.g., in LangSmith users
                # can provide per token pricing for their model and monitor
                # costs for the given LLM.)
                "model_name": self.model_name,
            }

    return ChatParrotLink
