"""A transformers pipeline behind the batch door: it takes a list of conversations, and fills up the shorter ones.

    pip install langplug transformers torch
    python examples/transformers_batches.py FOLDER

`ChatTransformers` does more (streams, tools, schemas); this is for a pipeline that you have already.
"""

import asyncio
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from langplug import ChatModel, Request


class ChatPipeline(ChatModel):
    """A `text-generation` pipeline, by the name or folder of its model."""

    folder: str
    max_tokens: int = 128
    max_batch = 16

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline; loaded once."""
        from transformers import pipeline

        made = pipeline("text-generation", model=self.folder)
        made.tokenizer.padding_side = "left"
        made.tokenizer.pad_token = made.tokenizer.pad_token or made.tokenizer.eos_token
        return made

    def respond_batch(self, requests: Sequence[Request]) -> list[str]:
        """Answer all at once."""
        talks = [one.openai_messages() for one in requests]
        settings = {"max_new_tokens": self.max_tokens, "do_sample": False, "return_full_text": False}
        given = self.pipeline(talks, batch_size=len(talks), **settings)
        return [answers[0]["generated_text"] for answers in given]


async def main() -> None:
    """Ask four things at once; they are answered together."""
    model = ChatPipeline(folder=sys.argv[1])
    questions = [f"What is the capital of {country}?" for country in ("France", "Japan", "Italy", "Peru")]
    for message in await asyncio.gather(*map(model.ainvoke, questions)):
        print(message.text)


if __name__ == "__main__":
    asyncio.run(main())
