"""Whether a chat template may be given to a template engine at all.

Chat templates come with weights, from strangers. Engines parse and evaluate them by recursion, llama.cpp's without a
limit: nesting that is deep enough overflows the stack and kills the process. Looked at here is the template's text
alone, in one pass. What it does when it is rendered is bounded elsewhere: `jinja_limits` and `models.gguf.trial`.
"""

import re
from typing import Final

from langplug._errors import advised

_LONGEST: Final = 1 << 18
"""Characters. The longest templates of published models have some 30,000."""

_DEEPEST: Final = 100
"""Blocks and brackets within each other; each `elif` counts. Published templates keep below 20."""

_MOST_TOKENS: Final = 2_000
"""In one tag: a chain of operators is a tree as deep as the chain is long."""

_TAG: Final = re.compile(r"\{[{%#]")
_TOKEN: Final = re.compile(
    r"""'(?:[^'\\]|\\.)*(?:'|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z)  # a text, which in a broken template need not end
    | \w+ | [-+]?[%}]\} | \S""",
    re.DOTALL | re.VERBOSE,
)
_OPENING: Final = frozenset({"if", "for", "macro", "call", "filter", "generation", "with", "elif"})


def check_template(template: str) -> None:
    """Refuse a chat template that is too long, or nested too deeply.

    Raises:
        ValueError: The message says what it is too much of, and how much there may be.
    """
    if len(template) > _LONGEST:
        raise _refusal(
            f"The chat template has {len(template):,} characters, and no more than {_LONGEST:,} are taken: published "
            "models have up to some 30,000."
        )
    blocks: list[str] = []
    place = 0
    while tag := _TAG.search(template, place):
        if tag[0] == "{#":
            end = template.find("#}", tag.end())
            if end < 0:
                return
            place = end + 2
            continue
        words, place, brackets = _read_tag(template, tag.end())
        match words[:1] if tag[0] == "{%" else []:
            case ["set"] if "=" not in words:
                blocks.append("set")
            case [word] if word in _OPENING:
                blocks.append(word)
            case [word] if word.startswith("end") and word[3:] in blocks:
                while blocks.pop() != word[3:]:  # an `elif` is left with its `if`
                    pass
            case _:
                pass
        if len(blocks) + brackets > _DEEPEST or len(words) > _MOST_TOKENS:
            line = template.count("\n", 0, tag.start()) + 1
            raise _refusal(
                f"The chat template is too deep in line {line}: no more than {_DEEPEST} blocks and brackets within "
                f"each other are taken, and no more than {_MOST_TOKENS:,} words and signs in one tag. Published models "
                "keep below 20 and 200."
            )


def _refusal(problem: str) -> ValueError:
    mend = "Give the model's own template, or get its weights from their publisher."
    return advised(ValueError(f"{problem} {mend}"))


def _read_tag(template: str, start: int) -> tuple[list[str], int, int]:
    """The words and signs of a tag, its end, and how deep its brackets are nested; as far as they are few enough."""
    words: list[str] = []
    end, depth, deepest = len(template), 0, 0
    for token in _TOKEN.finditer(template, start):
        word = token[0]
        if word[-1] == "}" and len(word) > 1 and depth == 0:
            end = token.end()
            break
        if word in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif word[0] not in "'\"":
            depth -= len(word) - len(word.rstrip(")]}"))
        if word not in "-+" or words:  # those belong to the bracket of the tag
            words.append(word)
        if len(words) > _MOST_TOKENS:
            break
    return words, end, deepest
