"""What is wrong, in a form that can be stored, counted, rendered and sent. Cheap to import: every DAG file does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from include.operations.error_rules import ErrorClass
from include.operations.scrub import scrub

_TITLE: Final = 150
_LINE: Final = 300
_LINES: Final = 12
_NAME: Final = 250  # Airflow's own limit of ids


class Severity(StrEnum):
    """How much it hurts; P1 is the worst, and the texts sort that way."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Kind(StrEnum):
    """What happened. Any other word is allowed, too: such an incident ends by `resolve`."""

    TASK_FAILED = "task_failed"
    RUN_FAILED = "run_failed"
    DATA_LOST = "data_lost"
    IMPORT_ERROR = "import_error"
    WARNING = "warning"


# Incidents of these kinds end by good runs of their DAG, all others by `resolve`.
ENDED_BY_RUNS: Final = frozenset({Kind.TASK_FAILED, Kind.RUN_FAILED, Kind.DATA_LOST})
# Failures of one run are one incident.
OF_A_RUN: Final = frozenset({Kind.TASK_FAILED, Kind.RUN_FAILED})

# A full disk, as PostgreSQL, the operating system and Redis say it.
_DISK_FULL: Final = frozenset({"53100", "ENOSPC", "EDQUOT", "MISCONF"})


def severity_of(kind: str, error_class: str = "", code: str = "") -> Severity:
    """The severity of an event: P1 when data are lost, a login is refused or a disk is full; P3 for warnings."""
    if kind == Kind.DATA_LOST or error_class == ErrorClass.AUTH or code in _DISK_FULL:
        return Severity.P1
    return Severity.P3 if kind == Kind.WARNING else Severity.P2


@dataclass(frozen=True, slots=True)
class Problem:
    """One event that may have to be told.

    The event is (dag_id, run_id, task_id, map_index, try_number, kind): the same event twice is told once. A warning
    gives its episode as `run_id`. No field may hold a person's name, address or message; what has the form of a secret,
    an e-mail address or a phone number is masked all the same.
    """

    kind: str
    title: str
    """One line, what and where: `vms_sync_volunteers.extract failed: daily limit reached`."""
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0
    error_class: str = ErrorClass.UNKNOWN
    code: str = ""
    fingerprint: str = ""
    severity: str = ""
    """P1 to P4; empty: from kind, class and code."""
    object: str = ""
    """What was worked on; takes the task's place in the incident key."""
    detail: tuple[str, ...] = ()
    """Further lines, e.g. `try 4/4, will not be retried`."""
    impact: str = ""
    what_to_do: str = ""
    excerpt: str = ""
    """The error's own words, scrubbed."""
    runbook: str = ""
    """File below docs/runbooks/ without ending, with an anchor if need be: `task-failed`, `stream#lost`."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Label to address: Log, Run, Dashboard."""
    since: datetime | None = None
    """When it began, when that is known better than by the first report."""
    value: str = ""
    normal: str = ""
    owner: str = ""
    version: str = ""
    """Version of the DAG's code."""
    cause: tuple[str, str] = ("", "")
    """DAG and run whose failure is all that this one tells: it joins that run's incident."""

    @property
    def event_key(self) -> tuple[str, str, str, int, int, str]:
        """What makes two reports one event."""
        return (self.dag_id, self.run_id, self.task_id, self.map_index, self.try_number, self.kind)

    def incident_key(self, environment: str) -> str:
        """What makes two events one incident: environment, DAG, task or object, error class, fingerprint."""
        kind = "" if self.kind in OF_A_RUN else self.kind
        parts = (environment, kind, self.dag_id, self.object or self.task_id, self.error_class, self.fingerprint)
        return "|".join(parts)

    def clean(self) -> Self:
        """Return it as it may be stored and sent: scrubbed, cut, on one line where it must be, severity filled in."""
        return replace(
            self,
            **{name: getattr(self, name)[:_NAME] for name in ("kind", "dag_id", "run_id", "task_id", "object")},
            severity=self._severity(),
            title=_one_line(self.title, _TITLE),
            code=_one_line(self.code, 60),
            detail=tuple(_one_line(line, _LINE) for line in self.detail[:_LINES]),
            impact=_one_line(self.impact, _LINE),
            what_to_do=_one_line(self.what_to_do, _LINE),
            excerpt=scrub(self.excerpt, limit=_LINE),
            value=_one_line(self.value, 100),
            normal=_one_line(self.normal, 100),
            owner=_one_line(self.owner, 100),
            version=_one_line(self.version, 60),
            links={str(label)[:40]: str(url)[:2000] for label, url in self.links.items() if url},
        )

    def _severity(self) -> Severity:
        # A word that is none must not keep a failure from being told.
        known = self.severity in set(Severity)
        return Severity(self.severity) if known else severity_of(self.kind, self.error_class, self.code)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {**asdict(self), "since": self.since.isoformat() if self.since else None}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Read what `to_dict` made; unknown names, of a newer version, are left out."""
        known = {name: given[name] for name in (each.name for each in fields(cls)) if name in given}
        known["detail"] = tuple(known.get("detail") or ())
        known["cause"] = tuple(known.get("cause") or ("", ""))
        since = known.get("since")
        known["since"] = datetime.fromisoformat(since) if since else None
        return cls(**known)


def digest_of(*parts: object) -> str:
    """A short, stable name made of many parts, for files and ids."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def _one_line(text: str, limit: int) -> str:
    return " ".join(scrub(text, limit=4 * limit).split())[:limit].rstrip()
