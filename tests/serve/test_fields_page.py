"""docs/en/reference/serve-fields.md says of each field what is done with it.

`python -m tests.serve.test_fields_page` renews it.
"""

from pathlib import Path

from langplug.serve.wires import WIRES

PAGE = Path(__file__).parents[2] / "docs" / "en" / "reference" / "serve-fields.md"

LEAD = """\
# The fields that `langplug serve` reads

*Ignored* fields, and those that are not listed, are named in the header `X-Langplug-Ignored`; with `--strict` they are
refused. Parameters that the served model has no use for are ignored in the same way.
"""


def page() -> str:
    parts = [LEAD]
    for wire in WIRES:
        rows = [f"| `{field.name}` | {field.verdict} | {field.note} |" for field in wire.body.fields]
        parts.append("\n".join([f"## `POST {wire.paths[0]}`\n", "| field | verdict | |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def test_the_page_lists_every_field() -> None:
    """The checklist is what the tables of the wires say."""
    assert page() == PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
