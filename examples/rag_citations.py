"""RAG with citations: the answer names its sources, as LangChain's standard annotations.

    pip install langplug && python examples/rag_citations.py

The retriever ranks the texts below by the words that they share with the question, so that nothing is downloaded; any
other retriever fits in its place. So does any model: this one copies sentences, and marks their sources as [1].
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from math import log

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever

from langplug import ChatModel, Part, Request

TEXTS = {
    "leave.md": "Every employee has 30 days of leave a year. Leave that is left over lapses at the end of March.",
    "travel.md": "Trains are booked in second class. Flights need the approval of a manager, given before the booking.",
    "devices.md": "A laptop is replaced after four years. A lost laptop is reported to the service desk within a day.",
}


class WordRetriever(BaseRetriever):
    """Finds the documents that share the rarest words with a question."""

    documents: list[Document]
    k: int = 2

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        bags = [Counter(words(document.page_content)) for document in self.documents]
        weight = {word: log(len(bags) / sum(word in bag for bag in bags)) for bag in bags for word in bag}
        scores = [sum(weight[word] for word in set(words(query)) if word in bag) for bag in bags]
        best = sorted(range(len(bags)), key=lambda index: -scores[index])[: self.k]
        return [self.documents[index] for index in best if scores[index] > scores[best[0]] / 2]


def words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"\w+", text.lower())


class ChatWithSources(ChatModel):
    """Answers out of documents, and cites them."""

    retriever: BaseRetriever
    model: BaseChatModel

    def respond(self, request: Request) -> Iterator[Part]:
        """Find, ask, and turn each mark `[1]` into a citation: of the passage, for the words before it."""
        found = self.retriever.invoke(request.text)
        sources = "\n".join(f"[{number}] {one.page_content}" for number, one in enumerate(found, 1))
        asked = f"Answer out of these sources, and mark each sentence's as [1]:\n{sources}\nQuestion: {request.text}"
        pieces = re.split(r"\s*\[(\d+)\]", self.model.invoke(asked).text)
        text, citations = "", []
        for said, number in zip_longest(pieces[::2], pieces[1::2]):
            start = len(text) + len(said) - len(said.lstrip())
            text += said
            if number and 1 <= int(number) <= len(found):  # a model may make up a source
                source = found[int(number) - 1]
                cited = {"title": source.metadata["source"], "cited_text": source.page_content}
                citations.append({"type": "citation", "start_index": start, "end_index": len(text), **cited})
        yield {"type": "text", "text": text, "annotations": citations}


class ChatCopyist(ChatModel):
    """Stands for your model: copies of each source the sentence that shares most words with the question."""

    def respond(self, request: Request) -> Iterator[str]:
        """Answer a request."""
        question = set(words(request.text.rpartition("Question: ")[2]))
        for number, source in re.findall(r"^\[(\d)\] (.*)", request.text, re.MULTILINE):
            best = max(source.split(". "), key=lambda sentence: len(question & set(words(sentence))))
            yield f"{best.rstrip('.')}. [{number}] "


def main() -> None:
    """Ask two questions, and show what each part of the answers rests on."""
    documents = [Document(text, metadata={"source": name}) for name, text in TEXTS.items()]
    model = ChatWithSources(retriever=WordRetriever(documents=documents), model=ChatCopyist())
    for question in (
        "How many days of leave do I have?",
        "Whose approval do flights need, and when is a laptop replaced?",
    ):
        (block,) = model.invoke(question).content_blocks
        print(block["text"].strip())
        for one in block["annotations"]:
            print(f"  {one['title']}: {block['text'][one['start_index'] : one['end_index']]}")


if __name__ == "__main__":
    main()
