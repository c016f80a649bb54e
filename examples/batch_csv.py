"""A CSV through a model: a row that fails is a row with an error, and what is answered is never asked again.

    pip install langplug && python examples/batch_csv.py

On the command line it is: langplug batch ./mine.py:model reviews.csv -o out.csv --prompt '…{review}…' --keep product
"""

import csv
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from langplug import Request, batch, chat_model

REVIEWS = """id,product,review
1,lamp,"Bright, and does not get warm. Good!"
2,kettle,It broke after a week. Bad.
3,chair,
"""
asked: list[str] = []


class Verdict(BaseModel):
    """What a review says."""

    good: bool


@chat_model(structured_output="native")
def critic(request: Request) -> str:
    """Stands for your model: a rule, and an error where there is nothing to read."""
    asked.append(request.text)
    review = request.text.removeprefix("Is this review good? ")
    if not review:
        raise ValueError("there is no review")
    return Verdict(good="Good" in review).model_dump_json()


def run(table: Path, out: Path) -> None:
    """Ask what is not answered yet, and show the output."""
    asked.clear()
    options = {"prompt": "Is this review good? {review}", "keep": ["product"], "schema": Verdict.model_json_schema()}
    summary = batch.run(critic(), table, out, ordered=True, **options)
    print(f"asked {len(asked)}: {summary.answered} answered, {summary.failed} failed")
    with out.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            print(f"  {row['product']}: {row['parsed'] or row['error']}")


def main() -> None:
    """Run, fix the table, and run again."""
    with TemporaryDirectory() as folder:
        table, out = Path(folder, "reviews.csv"), Path(folder, "out.csv")
        table.write_text(REVIEWS, encoding="utf-8")
        run(table, out)
        table.write_text(REVIEWS.replace("chair,", "chair,Good for the back.") + "4,rug,Bad\n", encoding="utf-8")
        run(table, out)


if __name__ == "__main__":
    main()
