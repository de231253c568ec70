"""getUpdated and getDeleted: which records changed or went within a span of time."""

from __future__ import annotations

from datetime import datetime, timedelta

from local.salesforce.answer import Answer, Call
from local.salesforce.clock import Clock, parse, stamp
from local.salesforce.database import quote
from local.salesforce.errors import ApiError
from local.salesforce.metadata import ObjectMeta
from local.salesforce.store import Store

MOST_IDS = 600_000
_DELETE_LOG = timedelta(days=15)
_UPDATES = timedelta(days=30)


class Replication:
    """`sobjects/NAME/updated` and `sobjects/NAME/deleted`, by whole minutes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.reset()

    def reset(self) -> None:
        """Use the usual limits, and remember deletions for the usual time."""
        self.most_ids = MOST_IDS
        # The log was purged: what was deleted before that is not known any more.
        self.log_since: datetime | None = None

    def deleted(self, call: Call, name: str) -> Answer:
        """Return ids and times of what was deleted."""
        meta, start, end = self._span(call, name, _DELETE_LOG)
        earliest = max(self._clock.now() - _DELETE_LOG, self.log_since or start)
        found = self._store.deleted_between(meta.name, stamp(max(start, self.log_since or start)), stamp(end))
        self._check_number(len(found))
        return Answer(
            body={
                "deletedRecords": [{"id": key, "deletedDate": _shown(at)} for key, at in found],
                "earliestDateAvailable": _shown(stamp(earliest)),
                "latestDateCovered": self._covered(end),
            }
        )

    def updated(self, call: Call, name: str) -> Answer:
        """Return the ids of what was created or changed and is not deleted."""
        meta, start, end = self._span(call, name, _UPDATES)
        statement = (
            f"SELECT Id FROM {quote(meta.name)} WHERE IsDeleted = 0 "  # noqa: S608 - a name from the catalog
            "AND SystemModstamp >= ? AND SystemModstamp < ? ORDER BY SystemModstamp, Id"
        )
        with self._store.read() as db:
            found = [key for (key,) in db.execute(statement, (stamp(start), stamp(end)))]
        self._check_number(len(found))
        return Answer(body={"ids": found, "latestDateCovered": self._covered(end)})

    def _span(self, call: Call, name: str, most: timedelta) -> tuple[ObjectMeta, datetime, datetime]:
        meta = self._store.object(name)
        if not meta.replicateable:
            raise ApiError("INVALID_TYPE", f"entity type {meta.name} is not replicateable")
        start, end = (_minute(call, each) for each in ("start", "end"))
        if start >= end:
            raise ApiError("INVALID_REPLICATION_DATE", "endDate must be at least one minute greater than startDate")
        # A minute more: the start was cut to its minute.
        if start < self._clock.now() - most - timedelta(minutes=1):
            raise ApiError("INVALID_REPLICATION_DATE", f"startDate cannot be more than {most.days} days ago")
        return meta, start, end

    def _covered(self, end: datetime) -> str:
        """Nothing is promised about the time after the oldest transaction that is still under way."""
        pending = self._store.oldest_pending()
        return _shown(min(stamp(min(end, self._clock.now())), pending or "9"))

    def _check_number(self, found: int) -> None:
        if found > self.most_ids:
            message = f"Too many records ({found}): choose a shorter time, at most {self.most_ids} ids are returned"
            raise ApiError("EXCEEDED_ID_LIMIT", message)


def _minute(call: Call, name: str) -> datetime:
    # A plus sign that was not escaped arrives as a space.
    text = call.query.get(name, "").replace(" ", "+")
    try:
        moment = parse(text)
    except ValueError:
        raise ApiError("INVALID_FIELD", f"{name} is not a valid date: ISO 8601 with a time zone is expected") from None
    return moment.replace(second=0, microsecond=0)


def _shown(at: str) -> str:
    return f"{at[:-1]}+0000"
