"""How the simulated Salesforce misbehaves: by script over the admin route, or for one request by a header.

A script is a list of steps. Its current step lets `after` matching requests through, misbehaves for `times` of them
and then gives way to the next step; after the last one everything works again. Several scripts run side by side, each
with its own counts. "The third page is cut inside a quoted field, then all works" is one step:
`{"kind": "cut", "on": "results", "after": 2, "inside": "quotes"}`. All kinds are listed in
docs/simulators-salesforce.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import count
from typing import Any

HEADER = "X-Simulator-Behave"

# What a request does, by method and path below /services; the first that fits. `{object}` and `{job}` are taken over.
_OPERATIONS = tuple(
    (name, method, re.compile(pattern))
    for name, method, pattern in (
        ("token", "", r"/services/oauth2/token"),
        ("soap", "", r"/services/Soap/.*"),
        ("versions", "", r"/services/data/?"),
        ("query", "", r"/services/data/v[\d.]+/query/?"),
        ("query_all", "", r"/services/data/v[\d.]+/queryAll/?"),
        ("query_more", "", r"/services/data/v[\d.]+/query(?:All)?/(?P<locator>[^/]+)"),
        ("limits", "", r"/services/data/v[\d.]+/limits/?"),
        ("batch", "", r"/services/data/v[\d.]+/composite/batch/?"),
        ("composite", "", r"/services/data/v[\d.]+/composite(?:/.*)?"),
        ("describe", "", r"/services/data/v[\d.]+/sobjects/(?P<object>\w+)/describe/?"),
        ("updated", "", r"/services/data/v[\d.]+/sobjects/(?P<object>\w+)/updated/?"),
        ("deleted", "", r"/services/data/v[\d.]+/sobjects/(?P<object>\w+)/deleted/?"),
        ("record", "", r"/services/data/v[\d.]+/sobjects/(?P<object>\w+)(?:/.*)?"),
        ("global_describe", "", r"/services/data/v[\d.]+/sobjects/?"),
        ("job_create", "POST", r"/services/data/v[\d.]+/jobs/query/?"),
        ("job_list", "GET", r"/services/data/v[\d.]+/jobs/query/?"),
        ("results", "GET", r"/services/data/v[\d.]+/jobs/query/(?P<job>\w+)/results/?"),
        ("result_pages", "GET", r"/services/data/v[\d.]+/jobs/query/(?P<job>\w+)/resultPages/?"),
        ("job_info", "GET", r"/services/data/v[\d.]+/jobs/query/(?P<job>\w+)/?"),
        ("job_abort", "PATCH", r"/services/data/v[\d.]+/jobs/query/(?P<job>\w+)/?"),
        ("job_delete", "DELETE", r"/services/data/v[\d.]+/jobs/query/(?P<job>\w+)/?"),
    )
)
OPERATIONS = frozenset(name for name, _, _ in _OPERATIONS)
_FROM = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    """A request as scripts see it."""

    operation: str  # one of OPERATIONS; empty: none of them
    object: str = ""  # the sObject in question, as the client wrote it
    soql: str = ""
    job: str = ""
    locator: str = ""


def call_of(method: str, path: str, soql: str = "") -> Call:
    """Return what a request does; the object of a job or a locator is not known here."""
    for name, wanted, pattern in _OPERATIONS:
        if wanted in ("", method) and (match := pattern.fullmatch(path)):
            found = match.groupdict()
            source = _FROM.search(soql)
            named = found.get("object") or (source[1] if source else "")
            return Call(name, named, soql, found.get("job") or "", found.get("locator") or "")
    return Call("")


@dataclass(frozen=True)
class Step:
    """One way to misbehave, and which requests it meets. The options after `times` are read by some kinds only."""

    kind: str
    on: str = ""  # one of OPERATIONS; empty: all below /services
    object: str = ""  # only this sObject; empty: all
    after: int = 0  # so many such requests are let through first
    times: int | None = 1  # so many misbehave; None: until the scripts are cleared
    status: int | None = None  # refusals: instead of the usual one
    code: str | None = None
    message: str | None = None
    body: str | None = None  # json, html or empty
    retry_after: str | None = None  # header Retry-After: seconds, or `date:SECONDS` for a date so far ahead
    seconds: float = 30.0
    bytes: int | None = None  # cut: so many bytes of the body; drip: so many at a time
    inside: str = ""  # cut, truncate: `quotes` or `row`: where it ends
    rows: int = 1
    row: int = 0  # alter, nul: the first row of the page is 0
    field: str = ""
    value: str = ""
    by: int = 1
    operations: Sequence[Mapping[str, Any]] = ()  # do: what the admin route takes

    def meets(self, call: Call) -> bool:
        """Whether it concerns this request."""
        if not call.operation or self.on not in ("", call.operation):
            return False
        return self.object.lower() in ("", call.object.lower())


@dataclass(frozen=True)
class Refusal:
    """The answer instead of an answer; `message` is Salesforce's own text where one is known."""

    status: int
    code: str = ""
    message: str = ""
    body: str = "json"


# Codes and texts: salesforce-sync.md 9.2. What Salesforce says to a 429 and to a Bulk locator it does not know is not
# documented: those two are inferred.
REFUSALS: Mapping[str, Refusal] = {
    "error": Refusal(400, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
    "unauthorized": Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "expire_token": Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "bad_auth_header": Refusal(401, "INVALID_AUTH_HEADER", "INVALID_JWT_FORMAT"),
    "forbidden": Refusal(403, "INSUFFICIENT_ACCESS", "insufficient access rights on object id"),
    "api_disabled": Refusal(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"),
    "total_requests": Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent_requests": Refusal(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
    "not_found": Refusal(404, "NOT_FOUND", "The requested resource does not exist"),
    "job_vanished": Refusal(404, "NOT_FOUND", "The requested resource does not exist"),
    "not_acceptable": Refusal(406, body="html"),
    "enhance_calm": Refusal(420, body="empty"),
    "rate_limit": Refusal(429, "REQUEST_LIMIT_EXCEEDED", "Too many requests."),
    "server_error": Refusal(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
    "bad_gateway": Refusal(502, body="html"),
    "unavailable": Refusal(503, "SERVER_UNAVAILABLE", "The server is temporarily unavailable."),
    "query_timeout": Refusal(400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "metering": Refusal(
        400,
        "TXN_SECURITY_METERING_ERROR",
        "We can't complete the action because enabled transaction security policies took too long to complete.",
    ),
    "invalid_locator": Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    "job_limit": Refusal(400, "LIMIT_EXCEEDED", "Max bulk v2 query jobs (10000) per 24 hrs has been reached (10021)"),
    "storage_limit": Refusal(
        400, "LIMIT_EXCEEDED", "Max bulk v2 query result size stored (1000000000) kb per 24 hrs has been exceeded"
    ),
    "bulk_unsupported": Refusal(400, "INVALIDENTITY", "Entity '{object}' is not supported by the Bulk API."),
    "field_removed": Refusal(400, "INVALID_FIELD"),
}
# The connection or the body.
TRANSPORT = frozenset({"hang", "reset", "drop", "lose_reply", "cut", "truncate", "drip"})
# The rows of a page, or what is said of them.
ROWS = frozenset({"duplicate_rows", "short_rows", "alter", "nul", "future_modstamp", "ties", "no_header_row"})
HEADERS = frozenset({"no_count", "wrong_count", "no_locator", "clock_skew", "limit_info", "no_limit_info"})
JOBS = frozenset({"job_failed", "job_aborted", "job_slow", "wrong_processed"})
KINDS = frozenset(REFUSALS) | TRANSPORT | ROWS | HEADERS | JOBS | {"ok", "do", "revoke"}


def step_of(wanted: Mapping[str, Any]) -> Step:
    """Return a step from what was sent. Raises ValueError with what is wrong with it."""
    known = {one.name for one in fields(Step)}
    if unknown := sorted(set(wanted) - known):
        raise ValueError(f"a step has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if (kind := wanted.get("kind")) not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: one of {', '.join(sorted(KINDS))}")
    given = dict(wanted)
    if given.get("retry_after") is not None:
        given["retry_after"] = str(given["retry_after"])
    step = Step(**given)
    if step.on and step.on not in OPERATIONS:
        raise ValueError(f"unknown operation {step.on!r}: one of {', '.join(sorted(OPERATIONS))}")
    if step.times is not None and step.times < 1:
        raise ValueError("times must be 1 or more, or null: until the scripts are cleared")
    if step.kind in ("alter", "nul", "field_removed") and not step.field:
        raise ValueError(f"{step.kind} needs a field")
    if step.inside not in ("", "quotes", "row"):
        raise ValueError("inside must be quotes or row")
    return step


@dataclass
class _Script:
    """A list of steps, and how far it is."""

    steps: tuple[Step, ...]
    position: int = 0
    let_through: int = 0
    taken: int = 0

    def take(self, call: Call) -> Step | None:
        """Count a request; return the step it meets, if any."""
        if self.position >= len(self.steps):
            return None
        step = self.steps[self.position]
        if not step.meets(call):
            return None
        if self.let_through < step.after:
            self.let_through += 1
            return None
        self.taken += 1
        if step.times is not None and self.taken >= step.times:
            self.position += 1
            self.let_through = self.taken = 0
        return step


class Scripts:
    """All scripts that run, by number."""

    def __init__(self) -> None:
        self._scripts: dict[int, _Script] = {}
        self._numbers = count(1)

    def add(self, steps: Sequence[Mapping[str, Any]]) -> int:
        """Start a script; return its number. Raises ValueError for a step that is not known."""
        script = _Script(tuple(step_of(one) for one in steps))
        if not script.steps:
            raise ValueError("a script needs a step")
        number = next(self._numbers)
        self._scripts[number] = script
        return number

    def clear(self) -> None:
        """Let everything work."""
        self._scripts.clear()

    def state(self) -> list[dict[str, Any]]:
        """Return the scripts and how far each is: position is the index of its current step."""
        return [
            {"number": number, "position": one.position, "taken": one.taken, "steps": [asdict(s) for s in one.steps]}
            for number, one in self._scripts.items()
        ]

    def active(self, kind: str) -> bool:
        """Whether a script still has a step of this kind before it."""
        return any(step.kind == kind for one in self._scripts.values() for step in one.steps[one.position :])

    def take(self, call: Call, header: str | None = None) -> tuple[Step, ...]:
        """Return the steps that a request meets, and count it. Raises ValueError for a bad header."""
        met = [step for script in self._scripts.values() if (step := script.take(call))]
        if header:
            asked = json.loads(header)
            asked = asked if isinstance(asked, list) else [asked]
            met += [step for one in asked if (step := step_of(one)).meets(call)]
        return tuple(step for step in met if step.kind != "ok")
