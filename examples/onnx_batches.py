"""ONNX Runtime GenAI behind the batch door: its generator reads and writes a batch of prompts step by step.

pip install langplug onnxruntime-genai
python -m onnxruntime_genai.models.builder -m HF_FOLDER -o FOLDER -p int4 -e cpu   # needs torch and transformers
python examples/onnx_batches.py FOLDER
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from langplug import ChatModel, Finish, Part, Request, Usage


class ChatONNX(ChatModel):
    """A model that was built for ONNX Runtime GenAI, by its folder."""

    folder: str
    max_tokens: int = 128
    max_batch = 16

    @cached_property
    def parts(self) -> tuple[Any, Any]:
        """The model and its tokenizer; loaded once."""
        import onnxruntime_genai

        model = onnxruntime_genai.Model(self.folder)
        return model, onnxruntime_genai.Tokenizer(model)

    def respond_batch(self, requests: Sequence[Request]) -> Iterator[tuple[int, Part]]:
        """Answer all at once; of each answer come its text, its usage, and why it ended."""
        import onnxruntime_genai

        model, tokenizer = self.parts
        prompts = [one.prompt("chatml") for one in requests]
        read = tokenizer.encode_batch(prompts)  # shorter ones are filled up, so that all have one length
        length = read.shape()[1]
        params = onnxruntime_genai.GeneratorParams(model)
        params.set_search_options(batch_size=len(prompts), max_length=length + self.max_tokens, do_sample=False)
        generator = onnxruntime_genai.Generator(model, params)
        generator.append_tokens(read)
        while not generator.is_done() and any(not one.cancelled for one in requests):
            generator.generate_next_token()
        for index, prompt in enumerate(prompts):
            written = [int(token) for token in generator.get_sequence(index)[length:]]
            ids = [token for token in written if token not in tokenizer.eos_token_ids]
            yield index, str(tokenizer.decode(ids))
            yield index, Usage(input_tokens=len(tokenizer.encode(prompt)), output_tokens=len(ids))
            yield index, Finish(reason="length" if len(ids) >= self.max_tokens else "stop")


async def main() -> None:
    """Ask four things at once; they are answered together."""
    model = ChatONNX(folder=sys.argv[1])
    questions = [f"What is the capital of {country}?" for country in ("France", "Japan", "Italy", "Peru")]
    for message in await asyncio.gather(*map(model.ainvoke, questions)):
        print(message.text)


if __name__ == "__main__":
    asyncio.run(main())
