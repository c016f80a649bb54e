r"""CTranslate2 behind the batch door: its generator answers a batch in little more time than one request.

    pip install langplug ctranslate2 transformers
    ct2-transformers-converter --model HF_FOLDER --output_dir FOLDER --quantization int8 \
        --copy_files tokenizer.json tokenizer_config.json
    python examples/ctranslate2_batches.py FOLDER
"""  # noqa: D208 - the command goes on there

import asyncio
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from langplug import ChatModel, Finish, Part, Request, Usage


class ChatCTranslate2(ChatModel):
    """A model that was converted for CTranslate2, by its folder."""

    folder: str
    max_tokens: int = 128
    max_batch = 16

    @cached_property
    def parts(self) -> tuple[Any, Any]:
        """The tokenizer and the generator; loaded once."""
        import ctranslate2
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder), ctranslate2.Generator(self.folder, inter_threads=1)

    def respond_batch(self, requests: Sequence[Request]) -> Iterator[tuple[int, Part]]:
        """Answer all at once; of each answer come its text, its usage, and why it ended."""
        tokenizer, generator = self.parts
        asked = [tokenizer.encode(one.prompt("chatml"), add_special_tokens=False) for one in requests]
        prompts = [tokenizer.convert_ids_to_tokens(ids) for ids in asked]
        results = generator.generate_batch(prompts, max_length=self.max_tokens, include_prompt_in_result=False)
        for index, (prompt, result) in enumerate(zip(prompts, results, strict=True)):
            ids = result.sequences_ids[0]
            yield index, str(tokenizer.decode(ids, skip_special_tokens=True))
            yield index, Usage(input_tokens=len(prompt), output_tokens=len(ids))
            yield index, Finish(reason="length" if len(ids) >= self.max_tokens else "stop")


async def main() -> None:
    """Ask four things at once; they are answered together."""
    model = ChatCTranslate2(folder=sys.argv[1])
    questions = [f"What is the capital of {country}?" for country in ("France", "Japan", "Italy", "Peru")]
    for message in await asyncio.gather(*map(model.ainvoke, questions)):
        print(message.text)


if __name__ == "__main__":
    asyncio.run(main())
