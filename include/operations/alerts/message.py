"""What a message says, free of any channel's markup. It is what the outbox keeps; a channel renders it when it sends.

`Message` holds data as they came: a renderer escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from include.operations.alerts.links import runbook_url
from include.operations.alerts.problem import Kind, Problem, Severity
from include.operations.alerts.settings import Settings

WORDS: Final[dict[str, tuple[str, str]]] = {
    Severity.P1: ("🔴", "P1 act now"),
    Severity.P2: ("🟠", "P2 failed"),
    Severity.P3: ("🟡", "P3 warning"),
    Severity.P4: ("🔵", "P4 report"),
}
RECOVERED: Final = ("🟢", "Recovered")
# Members of a roll-up that are listed; the others are counted.
LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Member:
    """One incident of a roll-up."""

    severity: str
    title: str
    url: str = ""
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message: alert, reminder, recovery, rollup, digest or test."""

    kind: str
    severity: str
    title: str
    error_class: str = ""
    code: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Label to value, in the order in which they are shown."""
    detail: tuple[str, ...] = ()
    impact: str = ""
    what_to_do: str = ""
    excerpt: str = ""
    runbook: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    meta: tuple[str, ...] = ()
    """Environment, version, owner, incident number."""
    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    environment: str = ""
    release: str = ""
    fingerprint: str = ""
    members: tuple[Member, ...] = ()
    more: int = 0
    """Members beyond those listed."""
    ping: bool = False
    """Whether the channel's readers are called (Slack: @here)."""
    html: str = ""
    """Of a digest: its own HTML."""
    text: str = ""
    """Of a digest: its own text."""
    picture: str = ""
    """Of a digest: a PNG, base64."""
    notes: tuple[str, ...] = ()
    """What the reader must know of the message itself: sent late, de-duplication degraded."""

    @property
    def icon(self) -> str:
        """The icon of the severity, or of the recovery."""
        return RECOVERED[0] if self.kind == "recovery" else WORDS[self.severity][0]

    @property
    def word(self) -> str:
        """The severity in words."""
        return RECOVERED[1] if self.kind == "recovery" else WORDS[self.severity][1]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        # PostgreSQL's jsonb keeps the order of lists, not of objects.
        ordered = {name: list(getattr(self, name).items()) for name in ("facts", "links")}
        return asdict(self) | ordered

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Read what `to_dict` made; unknown names, of a newer version, are left out."""
        known = {name: given[name] for name in (each.name for each in fields(cls)) if name in given}
        for name in ("detail", "meta", "notes"):
            known[name] = tuple(known.get(name) or ())
        for name in ("facts", "links"):
            known[name] = dict(known.get(name) or ())
        known["members"] = tuple(Member(**each) for each in known.get("members") or ())
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows of an incident."""

    number: int
    opened_at: datetime
    now: datetime
    occurrences: int
    in_24_h: int
    last_success: datetime | None = None


def of_problem(problem: Problem, facts: Facts | None, *, kind: str, settings: Settings) -> Message:
    """Say what is wrong: the alert, or a reminder of it. `facts` is None when the store could not be asked."""
    # A threshold that was crossed is no error of any class.
    what = (
        ("Check", problem.code) if problem.kind == Kind.WARNING else ("Class", f"{problem.error_class} {problem.code}")
    )
    shown: dict[str, str] = {what[0]: what[1].strip()}
    if problem.value:
        shown["Value"] = f"{problem.value} (normal: {problem.normal})" if problem.normal else problem.value
    meta = [settings.environment]
    impact = problem.impact
    if facts is not None:
        began = min(problem.since or facts.opened_at, facts.opened_at)
        shown["Since"] = _since(began, facts)
        if facts.last_success is not None:
            ago = span(facts.now - facts.last_success)
            shown["Last good run"] = f"{clock(facts.last_success, facts.now)} ({ago} ago)"
        meta.append(f"incident {facts.number}")
    elif problem.since is not None:
        shown["Since"] = f"{problem.since:%Y-%m-%d %H:%M} UTC"
    if problem.run_id and problem.kind not in ("warning", "import_error"):
        shown["Run"] = problem.run_id
    meta += [f"version {problem.version}"] if problem.version else []
    meta += [f"owner {problem.owner}"] if problem.owner else []
    return Message(
        kind=kind,
        severity=problem.severity,
        title=problem.title,
        error_class=problem.error_class,
        code=problem.code,
        facts=shown,
        detail=problem.detail,
        impact=impact,
        what_to_do=problem.what_to_do,
        excerpt=problem.excerpt,
        runbook=problem.runbook,
        links=_ordered(problem.links) | _runbook(problem.runbook, settings),
        meta=tuple(meta),
        dag_id=problem.dag_id,
        task_id=problem.task_id,
        run_id=problem.run_id,
        environment=settings.environment,
        release=settings.release,
        fingerprint=problem.fingerprint,
        ping=problem.severity == Severity.P1,
    )


def of_recovery(problem: Problem, facts: Facts, *, note: str, settings: Settings) -> Message:
    """Say that it is over: for how long it was so, and how many runs were missed."""
    from_to = f"{clock(facts.opened_at, facts.now)} to {clock(facts.now, facts.now)}"
    shown = {
        "Lasted": f"{span(facts.now - facts.opened_at)} ({from_to})",
        "Failed": _times(facts.occurrences, "run" if problem.kind in ("task_failed", "run_failed") else "time"),
    }
    links = {label: url for label, url in _ordered(problem.links).items() if label in ("Run", "Dashboard")}
    return Message(
        kind="recovery",
        severity=problem.severity,
        title=problem.title,
        facts=shown,
        detail=(note,) if note else (),
        links=links,
        meta=(settings.environment, f"incident {facts.number}"),
        dag_id=problem.dag_id,
        environment=settings.environment,
    )


def of_rollup(
    severity: str, reason: str, members: tuple[Member, ...], count: int, *, settings: Settings, number: int, url: str
) -> Message:
    """Stand for several incidents in one message. It is edited while more of them come."""
    open_now = f"{count} incident{'s' if count != 1 else ''}"
    return Message(
        kind="rollup",
        severity=severity,
        title=f"{open_now} {_REASONS.get(reason, '')}".strip(),
        members=members,
        more=max(count - len(members), 0),
        what_to_do="Look for one cause first: a server that is down, a full disk, an expired secret: run `doctor`.",
        runbook="alert-storm",
        links=({"Dashboard": url} if url else {}) | _runbook("alert-storm", settings),
        meta=(settings.environment, f"roll-up {number}"),
        environment=settings.environment,
        ping=severity == Severity.P1,
    )


_REASONS: Final = {
    "burst": "within a minute of another message",
    "cap": "beyond the hourly limit of messages",
    "hour": "this hour",
}


def _ordered(links: Mapping[str, str]) -> dict[str, str]:
    first = [label for label in ("Log", "Run", "Dashboard") if label in links]
    return {label: links[label] for label in (*first, *(each for each in links if each not in first))}


def _runbook(runbook: str, settings: Settings) -> dict[str, str]:
    url = runbook_url(runbook, settings)
    return {"Runbook": url} if url else {}


def clock(moment: datetime, now: datetime) -> str:
    """A time of day in UTC, with its date when that is not today's."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    return f"{moment:%H:%M} UTC" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M} UTC"


def span(length: timedelta) -> str:
    """A length of time for people: 45 s, 12 min, 3 h 05 min, 2 d 4 h."""
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def _since(began: datetime, facts: Facts) -> str:
    text = clock(began, facts.now)
    return f"{text}, {_ordinal(facts.in_24_h)} in 24 h" if facts.in_24_h > 1 else text


def _times(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
