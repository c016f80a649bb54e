"""A report as one page of HTML that needs nothing else: no script, no file, no network."""

import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from langplug_check.findings import Findings, Found
from langplug_check.render.text import mark, worst
from langplug_check.statement import Group

_CLASSES = {"✓": "pass", "✗": "fail", "!": "theirs", "~": "advice", "–": "na", "?": "unseen"}

_WORDS = {
    "✓": "pass",
    "✗": "fail",
    "!": "fail, not the model's own",
    "~": "advisory",
    "–": "not applicable",
    "?": "not observed",
}


def render_html(report: Findings) -> str:
    """The report: a summary, a strip of all checks, and a table for each group whose rows open."""
    style = (files("langplug_check.render") / "report.css").read_text(encoding="utf-8")
    groups = "".join(_group(group, found) for group, found in report.groups())
    verdict = "ready" if report.ready else "not-ready"
    versions = " · ".join(f"{escape(name)} {escape(version)}" for name, version in report.versions.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(report.reference)}: {"ready" if report.ready else "not ready"}</title>
<style>
{style}</style>
</head>
<body>
<header class="{verdict}">
<p class="kind">langplug check</p>
<h1>{escape(report.reference)}</h1>
<p class="summary">{escape(report.summary())}</p>
<p class="about">{escape(report.model)}<br>{versions}<br>{len(report.found)} checks {escape(report.where)}, \
{report.seconds:.1f} s</p>
</header>
<nav aria-label="all checks">{"".join(_strip(group, found) for group, found in report.groups())}</nav>
<main>
{groups}</main>
<footer>{_legend()}</footer>
</body>
</html>
"""


def _strip(group: Group, found: list[Found]) -> str:
    cells = "".join(
        f'<a href="#{escape(one.check.id)}" class="{_class(one)}" '
        f'title="{escape(one.check.id)}: {escape(one.check.statement)}">'
        f"<span>{escape(one.check.id)}</span></a>"
        for one in found
    )
    return f'<div><a class="letter" href="#group-{group.letter}">{group.letter}</a>{cells}</div>\n'


def _group(group: Group, found: list[Found]) -> str:
    passed = sum(one.result.verdict == "pass" for one in found)
    rows = "".join(_check(one) for one in found)
    sign = f'<span class="sign {_class(worst(found))}">{mark(worst(found))}</span>'
    return (
        f'<section id="group-{group.letter}">\n<h2>{sign}'
        f"{group.letter}. {escape(group.title)} <small>{passed} of {len(found)}</small></h2>\n{rows}</section>\n"
    )


def _check(found: Found) -> str:
    check, result = found.check, found.result
    is_open = " open" if result.verdict == "fail" else ""
    sign = f'<span class="sign {_class(found)}" aria-label="{_WORDS[mark(found)]}">{mark(found)}</span>'
    named = f'<code class="id">{escape(check.id)}</code> <span>{_prose(check.statement)}</span>'
    told = f"<dl>{''.join(_told(found))}</dl>"
    return f'<details id="{escape(check.id)}"{is_open}><summary>{sign}{named}</summary>\n{told}\n</details>\n'


def _told(found: Found) -> Iterator[str]:
    check, result = found.check, found.result
    mends = result.verdict in ("fail", "advisory")
    yield _item("observed", result.observed)
    yield _item("expected", "" if result.expected == check.statement else result.expected)
    yield _item("fault", "" if result.verdict != "fail" or result.blame == "model" else f"{result.blame}'s")
    yield _item("why", check.why)
    if mends:
        yield f"<dt>mend</dt><dd><pre>{escape(check.hint)}</pre></dd>"
    if result.noise:
        yield f"<dt>printed</dt><dd><pre>{escape(result.noise)}</pre></dd>"
    if check.link:
        yield f'<dt>see</dt><dd><a href="{escape(check.link)}">{escape(check.link)}</a></dd>'


def _item(name: str, value: str) -> str:
    return f"<dt>{name}</dt><dd>{_prose(value)}</dd>" if value else ""


def _prose(text: str) -> str:
    """Text, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _class(found: Found) -> str:
    return _CLASSES[mark(found)]


def _legend() -> str:
    return " ".join(
        f'<span><span class="sign {_CLASSES[sign]}">{sign}</span> {escape(word)}</span>'
        for sign, word in _WORDS.items()
    )
