"""The REST interface below `/services/data/vXX.X/`, except bulk jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from local.salesforce import composite
from local.salesforce.answer import Answer, Call
from local.salesforce.describe import describe, summary
from local.salesforce.errors import ApiError, not_found
from local.salesforce.queries import Queries
from local.salesforce.quotas import Quotas
from local.salesforce.records import Records
from local.salesforce.replication import Replication
from local.salesforce.store import Store

VERSIONS = tuple(f"{number}.0" for number in range(31, 66))
_OLDEST = 31
Handler = Callable[..., Answer]


def version_list() -> list[dict[str, str]]:
    """Return the answer to `/services/data/`: every version with the season of its release."""
    seasons = ("Winter", "Spring", "Summer")
    found = []
    for version in VERSIONS:
        number = int(float(version))
        # 31 was Summer '14, and three follow each year.
        season, year = seasons[(number - 29) % 3], 14 + (number - 29) // 3
        found.append({"label": f"{season} '{year}", "url": f"/services/data/v{version}", "version": version})
    return found


def check_version(version: str) -> None:
    """Raise ApiError for a version that is retired or not there yet."""
    if version not in VERSIONS:
        if re.fullmatch(r"\d+\.\d", version) and float(version) < _OLDEST:
            raise ApiError("UNSUPPORTED_API_VERSION", "The requested API version is no longer available")
        raise not_found()


class Rest:
    """Finds who answers a call."""

    def __init__(self, store: Store, quotas: Quotas, queries: Queries, replication: Replication) -> None:
        self._store = store
        records = Records(store)
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        for methods, pattern, handler in (
            ("GET", r"", self._resources),
            ("GET", r"limits", lambda _: Answer(body=quotas.limits())),
            ("GET", r"query", lambda call: queries.first(call, all_rows=False)),
            ("GET", r"queryAll", lambda call: queries.first(call, all_rows=True)),
            ("GET", r"query(?:All)?/([^/]+)", queries.more),
            ("GET", r"sobjects", self._global_describe),
            ("GET", r"sobjects/(\w+)", self._basic),
            ("POST", r"sobjects/(\w+)", records.create),
            ("GET", r"sobjects/(\w+)/describe", self._describe),
            ("GET", r"sobjects/(\w+)/updated", replication.updated),
            ("GET", r"sobjects/(\w+)/deleted", replication.deleted),
            ("GET", r"sobjects/(\w+)/(\w+)", records.retrieve),
            ("PATCH", r"sobjects/(\w+)/(\w+)", records.update),
            ("DELETE", r"sobjects/(\w+)/(\w+)", lambda _, name, key: records.delete(name, key)),
            ("POST", r"composite", lambda call: composite.composite(call, self.answer)),
            ("POST", r"composite/batch", lambda call: composite.batch(call, self.answer)),
            ("POST", r"composite/sobjects", records.create_many),
            ("PATCH", r"composite/sobjects", records.update_many),
            ("DELETE", r"composite/sobjects", records.delete_many),
            ("GET", r"composite/sobjects/(\w+)", records.retrieve_many),
            ("POST", r"composite/sobjects/(\w+)", records.retrieve_many),
        ):
            self._routes.append((methods, re.compile(pattern + r"\Z", re.IGNORECASE), handler))

    def answer(self, call: Call) -> Answer:
        """Answer a call of a user who is logged in. Raises ApiError."""
        check_version(call.version)
        matching = [(method, found, handler) for method, p, handler in self._routes if (found := p.match(call.path))]
        chosen = next(((found, handler) for method, found, handler in matching if method == call.method), None)
        if chosen is None:
            if matching:
                allowed = ", ".join(sorted({method for method, _, _ in matching}))
                message = f"HTTP Method '{call.method}' not allowed. Allowed are {allowed}"
                raise ApiError("METHOD_NOT_ALLOWED", message)
            raise not_found()
        found, handler = chosen
        return handler(call, *found.groups())

    def _resources(self, call: Call) -> Answer:
        names = ("sobjects", "limits", "query", "queryAll", "composite", "jobs")
        return Answer(body={name: f"/services/data/v{call.version}/{name}" for name in names})

    def _global_describe(self, call: Call) -> Answer:
        summaries = [summary(meta, call.version) for meta in self._store.catalog]
        body = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": sorted(summaries, key=lambda s: s["name"])}
        return Answer(body=body)

    def _basic(self, call: Call, name: str) -> Answer:
        meta = self._store.object(name)
        return Answer(body={"objectDescribe": summary(meta, call.version), "recentItems": []})

    def _describe(self, call: Call, name: str) -> Answer:
        changed = self._store.schema_changed(name).replace(microsecond=0)
        known = _http_date(call.headers)
        if known is not None and known >= changed:
            return Answer(304)
        body = describe(self._store.catalog, name, call.version)
        return Answer(body=body, headers={"Last-Modified": format_datetime(changed, usegmt=True)})


def _http_date(headers: Any) -> datetime | None:
    found = next((v for k, v in headers.items() if k.lower() == "if-modified-since"), None)
    try:
        moment = parsedate_to_datetime(found) if found else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment else None
