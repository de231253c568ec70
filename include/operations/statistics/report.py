"""The digest as plain text (Slack, mail without HTML) and as HTML for mail; a mail program shows no style sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from html import escape

from include.operations.statistics.digest import WEEK, Digest, Figures

_CELL = "padding:4px 12px 4px 0;text-align:{};border-bottom:1px solid #ddd"
_MINUTE, _HOUR = 60, 3600
# A difference below this is no news.
_SAME_PCT = 0.05


def title(digest: Digest) -> str:
    """One line: the week and its success rate."""
    return f"Week of {digest.monday:%d %B %Y}: {_pct(digest.now.success_pct)} of {digest.now.total:,} runs successful"


def text(digest: Digest) -> str:
    """The whole digest in plain text."""
    parts = ["\n".join(f"{name}: {now} ({trend})" for name, now, trend in _headlines(digest))]
    if digest.slowest:
        lines = (f"{dag}: p95 {p95}, median {median} ({trend})" for dag, p95, median, trend in _slowest(digest))
        parts.append(_section("Slowest", lines))
    if digest.top_errors:
        lines = (f"{count} x {what} in {where}, last {last}" for count, what, where, last in _errors(digest))
        parts.append(_section("Top errors", lines))
    parts.append(_section("Rejected", (f"{name}: {count} ({trend})" for name, count, trend in _rejected(digest))))
    return "\n\n".join(parts) + f"\n\n{_FOOT}"


def html(digest: Digest) -> str:
    """The whole digest as a fragment of HTML."""
    last_day = digest.monday + WEEK - timedelta(days=1)
    parts = [
        f"<p>{digest.monday:%d %B} to {last_day:%d %B %Y}, UTC, and the change against the week before.</p>",
        _table((), _headlines(digest)),
    ]
    if digest.slowest:
        parts.append("<h3>Slowest</h3>" + _table(("DAG", "p95", "median", "p95 before"), _slowest(digest)))
    if digest.top_errors:
        parts.append("<h3>Top errors</h3>" + _table(("tries", "error", "task", "last"), _errors(digest)))
    parts.append("<h3>Rejected</h3>" + _table((), _rejected(digest)))
    parts.append(f"<p>{escape(_FOOT)}</p>")
    return "\n".join(parts)


_FOOT = "What the figures mean: docs/statistics.md. For one DAG: python -m include.cli stats show --grain week --dag ID"


def duration(seconds: float | None) -> str:
    """`4.2s`, `3.1m` or `2.0h`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    return f"{seconds / _MINUTE:.1f}m" if seconds < _HOUR else f"{seconds / _HOUR:.1f}h"


def _headlines(digest: Digest) -> list[tuple[str, str, str]]:
    now, before = digest.now, digest.before
    repeated = _counts(now.restarts + now.clears, before.restarts + before.clears)
    return [
        ("Success rate", _pct(now.success_pct), _points(now.success_pct, before.success_pct)),
        ("Runs", f"{now.total:,}", _counts(now.total, before.total)),
        ("Failed runs", f"{now.failed:,}", _counts(now.failed, before.failed)),
        ("Retry rate", _pct(now.retry_pct), _points(now.retry_pct, before.retry_pct)),
        ("Restarted or cleared tries", _repeated(now), repeated),
    ]


def _repeated(figures: Figures) -> str:
    return f"{figures.restarts:,} by a scheduler, {figures.clears:,} by a person"


def _slowest(digest: Digest) -> list[tuple[str, str, str, str]]:
    found = []
    for each in digest.slowest:
        before = digest.dags_before.get(each.dag_id)
        trend = f"{duration(before.p95_s)} before" if before and before.p95_s is not None else "no run before"
        found.append((each.dag_id, duration(each.p95_s), duration(each.p50_s), trend))
    return found


def _errors(digest: Digest) -> list[tuple[str, str, str, str]]:
    return [
        (
            f"{each.tries:,}",
            f"{each.error_class} {each.code}".strip(),
            f"{each.dag_id}.{each.task_id}",
            f"{each.last_at:%a %H:%M}",
        )
        for each in digest.top_errors
    ]


def _rejected(digest: Digest) -> list[tuple[str, str, str]]:
    return [
        (name, f"{count:,}", _counts(count, digest.rejected_before.get(name, 0)))
        for name, count in digest.rejected.items()
    ]


def _pct(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def _points(now: float | None, before: float | None) -> str:
    if now is None or before is None:
        return "no comparison"
    return "as before" if abs(now - before) < _SAME_PCT else f"{now - before:+.1f} points"


def _counts(now: int, before: int) -> str:
    return "as before" if now == before else f"{before:,} before"


def _section(heading: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{heading}:", *(f"- {line}" for line in lines)])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; every cell comes escaped."""

    def line(tag: str, cells: Sequence[str]) -> str:
        made = (f'<{tag} style="{_CELL.format("left")}">{escape(cell)}</{tag}>' for cell in cells)
        return f"<tr>{''.join(made)}</tr>"

    head = [line("th", header)] if header else []
    body = [line("td", row) for row in rows]
    return f'<table style="border-collapse:collapse">{"".join([*head, *body])}</table>'
