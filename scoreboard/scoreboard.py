"""Runs the whole contract over langplug's models and the known integrations.

It writes `docs/en/reference/scoreboard.md`.

    python scoreboard/scoreboard.py [--only NAME ...]

Each model is checked in a process of its own; those that are not langplug's twice: as they come, and adopted. What was
found is kept in `scoreboard/found.json`, so that `--only` renews some columns and leaves the others. Needs the peers'
environment (`make scoreboard` brings it), and no network.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langplug_check import Check, all_checks

HERE = Path(__file__).parent
FOUND = HERE / "found.json"
PAGE = HERE.parent / "docs" / "en" / "reference" / "scoreboard.md"
LONGEST_S = 1200

SIGNS = {"pass": "✓", "fail": "✗", "not applicable": "–", "not observed": "?", "advisory": "!", "partly observed": "◐"}
NOT_ITS_OWN = {"langchain-core": "ᶜ", "backend": "ᵇ"}

ADOPTED = ", adopted"
"""What follows the name of a model that was adopted, in what is kept of the runs."""

Found = dict[str, Any]
"""What `Report.to_json` gives of one model."""


def checked(name: str, *, adopted: bool = False) -> Found:
    """Check one model, in a process of its own."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(HERE / "one.py"), name, *(["adopted"] if adopted else [])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=HERE,
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} could not be checked:\n{done.stderr}")
    found: Found = json.loads(done.stdout)
    own, theirs = counted(found)
    print(
        f"{name}{ADOPTED if adopted else ''}: {own} failures of its own, {theirs} not, "
        f"{time.monotonic() - began:.0f} s",
        file=sys.stderr,
    )
    return found


def counted(found: Found) -> tuple[int, int]:
    """How many failures are the model's own, and how many are not."""
    failures = [result for result in contract(found) if result["verdict"] == "fail"]
    own = [result for result in failures if result["blame"] == "model"]
    return len(own), len(failures) - len(own)


def contract(found: Found) -> list[Mapping[str, Any]]:
    """The results of the contract's own statements, langchain-tests' cases left out."""
    statements = contract_statements()
    return [result for result in found["results"] if result["id"] in statements]


def contract_statements() -> dict[str, Check]:
    """The statements of the contract by their ids."""
    return {name: check for name, check in all_checks().items() if check.in_contract}


# --- the page ---


def page(everything: Mapping[str, Found], ours: Sequence[str], by_hand: Sequence[str] = ()) -> str:
    """The scoreboard as Markdown."""
    columns = {name: found for name, found in everything.items() if ADOPTED not in name and name not in by_hand}
    parts = (
        _head(columns, ours),
        [""],
        _adopted(everything, by_hand),
        _table(columns),
        [""],
        _of_core(columns),
        _versions(everything),
    )
    return "\n".join(line for part in parts for line in part)


def _head(everything: Mapping[str, Found], ours: Sequence[str]) -> Iterator[str]:
    yield "# The scoreboard"
    yield ""
    statements = f"The {len(contract_statements())} statements that a chat model owes its callers"
    yield f"{statements}, as `langplug check` finds them kept. This page is"
    yield "written by `make scoreboard`, offline: models that talk to a server talk to the test kit's own."
    yield ""
    yield "✓ kept · ✗ not kept · ✗ᶜ not kept, which is langchain-core's fault and not the model's · ✗ᵇ the backend's ·"
    yield "! could be better · – says nothing of such a model · ? could not be seen · ◐ kept, as far as could be seen"
    yield ""
    yield "| model | kept | not kept | not its fault | could be better | not applicable | not seen |"
    yield "|---|---|---|---|---|---|---|"
    for name, found in everything.items():
        verdicts = [result["verdict"] for result in contract(found)]
        own, theirs = counted(found)
        better, not_said, unseen = (verdicts.count(one) for one in ("advisory", "not applicable", "not observed"))
        shown = f"**{name}**" if name in ours else name
        yield f"| {shown} | {_kept(found)} | {own} | {theirs} | {better} | {not_said} | {unseen} |"


def _adopted(everything: Mapping[str, Found], by_hand: Sequence[str]) -> Iterator[str]:
    """What `langplug.adopt` makes of other people's models."""
    adopted = {name.removesuffix(ADOPTED): found for name, found in everything.items() if name.endswith(ADOPTED)}
    if not adopted:
        return
    yield "## As it comes, and adopted"
    yield ""
    yield "What `langplug.adopt(model)` makes of it: the failures of its own before and after, and those that stay."
    yield "Adoption cannot mend how a model is made and pickled, and what it does with a connection of its own. The"
    yield "lower rows are classes as people write them by hand, LangChain's page's first."
    yield ""
    yield "| model | kept | not kept | adopted: kept | not kept | which |"
    yield "|---|---|---|---|---|---|"
    for name, found in adopted.items():
        before = everything.get(name)
        was = (str(_kept(before)), str(counted(before)[0])) if before else ("–", "–")
        own, _ = counted(found)
        left = [r["id"] for r in contract(found) if r["verdict"] == "fail" and r["blame"] == "model"]
        shown = f"{name} (by hand)" if name in by_hand else name
        yield f"| {shown} | {' | '.join(was)} | {_kept(found)} | {own} | {', '.join(left) or 'none'} |"
    yield ""
    yield "## Statement by statement"
    yield ""


def _kept(found: Found) -> int:
    return sum(result["verdict"] in ("pass", "partly observed") for result in contract(found))


def _table(everything: Mapping[str, Found]) -> Iterator[str]:
    columns = {name: {result["id"]: result for result in contract(found)} for name, found in everything.items()}
    yield "| | statement | " + " | ".join(columns) + " |"
    yield "|---|---|" + "---|" * len(columns)
    for check in contract_statements().values():
        signs = " | ".join(_sign(column.get(check.id)) for column in columns.values())
        yield f"| {check.id} | {check.statement.replace('|', chr(92) + '|')} | {signs} |"


def _sign(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return ""
    sign = SIGNS[result["verdict"]]
    return sign + NOT_ITS_OWN.get(result["blame"], "") if sign == "✗" else sign


def _of_core(everything: Mapping[str, Found]) -> Iterator[str]:
    blamed = {
        result["id"]
        for found in everything.values()
        for result in contract(found)
        if result["verdict"] == "fail" and result["blame"] == "langchain-core"
    }
    if not blamed:
        return
    yield "## langchain-core's"
    yield ""
    for check in all_checks().values():
        if check.id in blamed:
            yield f"* {check.id}: {check.statement} [{check.link}]({check.link})"
    yield ""


def _versions(everything: Mapping[str, Found]) -> Iterator[str]:
    versions = {package: version for found in everything.values() for package, version in found["versions"].items()}
    yield "## Versions"
    yield ""
    yield ", ".join(f"{package} {version}" for package, version in sorted(versions.items())) + "."
    yield ""


def main() -> int:
    """Check what is asked for, write the page, and say whether a model of langplug's failed."""
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    from entries import BY_HAND, ENTRIES, NOT_CHAT_MODELS, OURS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*ENTRIES, *BY_HAND]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help="renew these columns alone")
    arguments = parser.parse_args()
    known: dict[str, Found] = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    for name in arguments.only or names:
        if name not in NOT_CHAT_MODELS:
            known[name] = checked(name)
        if name not in OURS:
            known[name + ADOPTED] = checked(name, adopted=True)
        FOUND.write_text(json.dumps(known), encoding="utf-8")
    everything = {one: known[one] for name in names for one in (name, name + ADOPTED) if one in known}
    PAGE.write_text(page(everything, OURS, [*BY_HAND]), encoding="utf-8")
    failed = [name for name in OURS if name in everything and counted(everything[name])[0]]
    if failed:
        print(f"langplug's own models that failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
