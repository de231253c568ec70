"""query, queryAll and their further pages: a result of more than one page is spooled to a file for two days."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO, Any

from local.salesforce import ids
from local.salesforce.answer import Answer, Call
from local.salesforce.clock import Clock
from local.salesforce.errors import ApiError
from local.salesforce.soql import Plan, compile_query
from local.salesforce.store import Store

_PAGE = 2000
_SMALLEST_PAGE = 200
_LIVES = timedelta(days=2)
_BATCH_SIZE = re.compile(r"batchSize=(\d+)", re.IGNORECASE)
_PREFIX = "01g"


@dataclass
class _Result:
    """A spooled result: where each page begins in the file. A page is a JSON array of records."""

    entity: str
    size: int
    expires: datetime
    file: IO[bytes]
    pages: dict[int, tuple[int, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def page(self, first: int) -> bytes:
        begin, length = self.pages[first]
        with self.lock:
            self.file.seek(begin)
            return self.file.read(length)

    def next_after(self, first: int) -> int | None:
        return min((n for n in self.pages if n > first), default=None)


class Queries:
    """Answers queries, and keeps what does not fit into one page."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._results: dict[str, _Result] = {}
        self._numbers = itertools.count(1)

    def reset(self) -> None:
        """Forget all results."""
        for result in self._results.values():
            result.file.close()
        self._results.clear()

    def expire(self) -> None:
        """Let all locators end now."""
        self.reset()

    def object_of(self, locator: str) -> str:
        """Return the object whose records a locator leads to; empty when there is none."""
        result = self._results.get(locator.rpartition("-")[0])
        return result.entity if result else ""

    def first(self, call: Call, *, all_rows: bool) -> Answer:
        """Answer a query with its first page. Raises ApiError."""
        soql = call.query.get("q")
        if soql is None:
            raise ApiError("MALFORMED_QUERY", "A query string has to be specified")
        plan = compile_query(soql, self._store.catalog, self._clock.now(), all_rows=all_rows)
        with self._store.read() as db:
            rows = db.execute(plan.sql, plan.parameters)
            if plan.count_alias is not None:
                return _counted(plan, rows.fetchone()[0])
            return self._spool(plan, rows, call)

    def more(self, call: Call, locator: str) -> Answer:
        """Answer with a further page. Raises ApiError when the locator is unknown or too old."""
        key, _, position = locator.rpartition("-")
        result = self._results.get(key)
        if result is not None and result.expires <= self._clock.now():
            self._results.pop(key).file.close()
            result = None
        if result is None or not position.isdigit() or int(position) not in result.pages:
            raise ApiError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return _page(result.size, result.page(int(position)), key, result.next_after(int(position)), call.version)

    def _spool(self, plan: Plan, rows: Iterable[Sequence[Any]], call: Call) -> Answer:
        pages = _rendered(plan, rows, call.version, _page_size(call))
        count, content = next(pages, (0, b"[]"))
        following = next(pages, None)
        if following is None:
            return _page(count, content, "", None, call.version)
        key = ids.make_id(_PREFIX, next(self._numbers))
        # The file has no name: it is gone with the process.
        spool = tempfile.TemporaryFile(dir=self._store.directory)  # noqa: SIM115 - it lives as long as the locator
        result = _Result(plan.entity.name, 0, self._clock.now() + _LIVES, spool)
        for number, page in itertools.chain([(count, content), following], pages):
            result.pages[result.size] = (spool.tell(), len(page))
            spool.write(page)
            result.size += number
        self._results[key] = result
        return _page(result.size, content, key, result.next_after(0), call.version)


def _page_size(call: Call) -> int:
    found = _BATCH_SIZE.search(call.headers.get("Sforce-Query-Options", ""))
    return min(_PAGE, max(_SMALLEST_PAGE, int(found[1]))) if found else _PAGE


def _rendered(plan: Plan, rows: Iterable[Sequence[Any]], version: str, size: int) -> Iterator[tuple[int, bytes]]:
    pending = iter(rows)
    while chunk := list(itertools.islice(pending, size)):
        records = [plan.record(row, version) for row in chunk]
        yield len(chunk), json.dumps(records, ensure_ascii=False, separators=(",", ":")).encode()


def _page(size: int, records: bytes, key: str, following: int | None, version: str) -> Answer:
    head: dict[str, Any] = {"totalSize": size, "done": following is None}
    if following is not None:
        # Also after queryAll it says /query/.
        head["nextRecordsUrl"] = f"/services/data/v{version}/query/{key}-{following}"
    return Answer(raw=json.dumps(head)[:-1].encode() + b', "records":' + records + b"}")


def _counted(plan: Plan, number: int) -> Answer:
    if not plan.count_alias:
        return Answer(body={"totalSize": number, "done": True, "records": []})
    record = {"attributes": {"type": "AggregateResult"}, plan.count_alias: number}
    return Answer(body={"totalSize": 1, "done": True, "records": [record]})
