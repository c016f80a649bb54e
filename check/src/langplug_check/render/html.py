"""A report as one page of HTML that needs nothing else: no script, no file, no network."""

import re
from html import escape
from importlib.resources import files

from langplug_check.findings import Findings, Found
from langplug_check.render.text import mark, worst

_CLASSES = {"✓": "pass", "✗": "fail", "!": "theirs", "~": "advice", "–": "na", "?": "unseen", "◐": "partly"}

_WORDS = {
    "✓": "pass",
    "◐": "pass, as far as could be seen",
    "✗": "fail",
    "!": "fail, not the model's own",
    "~": "advisory",
    "–": "not applicable",
    "?": "not observed",
}


def render_html(report: Findings) -> str:
    """The report: a summary, a strip of all checks, and a table for each group whose rows open."""
    style = (files("langplug_check.render") / "report.css").read_text(encoding="utf-8")
    verdict = "ready" if report.ready else "not-ready"
    versions = " · ".join(f"{escape(name)} {escape(version)}" for name, version in report.versions.items())
    strips = sections = ""
    for group, found in report.groups():
        cells = "".join(
            f'<a href="#{escape(one.check.id)}" class="{_CLASSES[mark(one)]}" '
            f'title="{escape(one.check.id)}: {escape(one.check.statement)}">'
            f"<span>{escape(one.check.id)}</span></a>"
            for one in found
        )
        strips += f'<div><a class="letter" href="#group-{group.letter}">{group.letter}</a>{cells}</div>\n'
        sign = mark(worst(found))
        passed = sum(one.result.verdict == "pass" for one in found)
        sections += (
            f'<section id="group-{group.letter}">\n<h2><span class="sign {_CLASSES[sign]}">{sign}</span>'
            f"{group.letter}. {escape(group.title)} <small>{passed} of {len(found)}</small></h2>\n"
            f"{''.join(map(_check, found))}</section>\n"
        )
    legend = " ".join(
        f'<span><span class="sign {_CLASSES[sign]}">{sign}</span> {escape(word)}</span>'
        for sign, word in _WORDS.items()
    )
    # The policy forbids whatever a model's words might smuggle in; only the style above needs an exception.
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
<nav aria-label="all checks">{strips}</nav>
<main>
{sections}</main>
<footer>{legend}</footer>
</body>
</html>
"""


def _check(found: Found) -> str:
    """A check as a row that opens; open already, if it failed."""
    check, result = found.check, found.result
    sign = mark(found)
    prose = {
        "observed": result.observed,
        "expected": "" if result.expected == check.statement else result.expected,
        "fault": "" if result.verdict != "fail" or result.blame == "model" else f"{result.blame}'s",
        "why": check.why,
    }
    details = "".join(f"<dt>{name}</dt><dd>{_prose(text)}</dd>" for name, text in prose.items() if text)
    if result.verdict in ("fail", "advisory"):
        details += f"<dt>fix</dt><dd><pre>{escape(check.hint)}</pre></dd>"
    if result.noise:
        details += f"<dt>printed</dt><dd><pre>{escape(result.noise)}</pre></dd>"
    if check.link:
        details += f'<dt>see</dt><dd><a href="{escape(check.link)}">{escape(check.link)}</a></dd>'
    return (
        f'<details id="{escape(check.id)}"{" open" if result.verdict == "fail" else ""}>'
        f'<summary><span class="sign {_CLASSES[sign]}" aria-label="{_WORDS[sign]}">{sign}</span>'
        f'<code class="id">{escape(check.id)}</code> <span>{_prose(check.statement)}</span></summary>\n'
        f"<dl>{details}</dl>\n</details>\n"
    )


def _prose(text: str) -> str:
    """Text, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
