"""The audit of interventions: append-only, each entry holding the hash of the one before.

A trigger numbers and hashes what is appended and refuses every change. Whoever may switch triggers off can still
change rows; `verify` finds that, because it works every hash out again: an edit breaks the entry's own hash, a removed
or moved entry the number or the hash that the next one names, and one removed from the end the head's row. Only who
rewrites everything, head included, can do so unseen here: therefore `outcomes` writes the head into the log every day,
and `verify` can be asked whether the chain still holds a head that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    import psycopg

FIRST: Final = bytes(32)
_CHUNK: Final = 5_000
# As many faults as a person reads.
SHOWN_FAULTS: Final = 50


class Event(StrEnum):
    """What can happen."""

    PROPOSED = "intervention_proposed"
    REFUSED = "intervention_refused"
    SHADOWED = "intervention_shadowed"
    APPROVED = "intervention_approved"
    REJECTED = "intervention_rejected"
    EXPIRED = "intervention_timeout"
    BEGUN = "intervention_begun"
    TAKEN_OVER = "intervention_taken_over"
    EXECUTED = "intervention_executed"
    FAILED = "intervention_failed"
    ROLLBACK_BEGUN = "rollback_begun"
    ROLLED_BACK = "intervention_rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    MONITORING = "outcome_monitoring_scheduled"
    CHECKED = "outcome_checked"
    HARMFUL = "negative_outcome_detected"
    DISABLED = "action_type_disabled"
    ENABLED = "action_type_enabled"
    STOPPED = "interventions_stopped"
    RESUMED = "interventions_resumed"


class Head(NamedTuple):
    """Number and hash of an entry."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what `str` gave.

        Raises:
            ValueError: it is something else.
        """
        seq, _, digest = text.partition(":")
        found = cls(int(seq), bytes.fromhex(digest))
        if found.seq < 0 or len(found.hash) != len(FIRST):
            raise ValueError("not NUMBER:HASH")
        return found


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found; no faults: the chain is whole."""

    entries: int
    head: Head
    faults: list[Fault]


_APPEND: Final = """
insert into organism.intervention_audit (intervention_id, event, actor, detail) values (%s, %s, %s, %s)
"""
# The same texts as in the trigger.
_READ: Final = """
select seq, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), coalesce(intervention_id::text, ''), event,
  actor, detail::text, previous, hash
from organism.intervention_audit order by seq
"""


def append(
    connection: psycopg.Connection,
    event: Event,
    actor: str,
    intervention: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry in the caller's transaction; from here to its end no other entry can be added, so be quick.

    `detail` holds figures and codes that JSON can carry, never a person an action is for.
    """
    from psycopg.types.json import Jsonb

    connection.execute(_APPEND, [intervention, event, actor, Jsonb(dict(detail or {}))])


def head(connection: psycopg.Connection) -> Head:
    """The newest entry's number and hash, to be noted where nobody who can write this database can."""
    found = connection.execute("select seq, hash from organism.intervention_audit_head").fetchone()
    return Head(found[0], bytes(found[1])) if found else Head(0, FIRST)


def verify(connection: psycopg.Connection, noted: Head | None = None) -> Verified:
    """Work out every hash again and compare; `noted` is a head from elsewhere that the chain must still hold.

    Reads in chunks, so memory stays flat.
    """
    faults: list[Fault] = []
    before = Head(0, FIRST)
    entries = 0
    met = noted is None or noted == before
    for row in _rows(connection):
        entries += 1
        seq, at, intervention, event, actor, detail, previous, stored = row
        if seq != before.seq + 1:
            faults.append(Fault(seq, f"follows {before.seq}: {seq - before.seq - 1} missing or moved"))
        elif previous != before.hash:
            faults.append(Fault(seq, "does not name the entry before it: one of them was changed or moved"))
        if entry_hash(seq, at, intervention, event, actor, detail, previous) != stored:
            faults.append(Fault(seq, "its content is not what was written"))
        before = Head(seq, stored)
        met = met or before == noted
    known = head(connection)
    if known != before:
        faults.append(Fault(known.seq, f"the newest entry is gone or changed: the last one found is {before.seq}"))
    if not met and noted is not None:
        faults.append(Fault(noted.seq, "the noted head is not in the chain: it was rewritten or cut"))
    return Verified(entries, before, faults)


def entry_hash(seq: int, at: str, intervention: str, event: str, actor: str, detail: str, previous: bytes) -> bytes:
    """SHA-256 of an entry: of each part its length in bytes, a colon, the part and a line feed, in this order."""
    digest = hashlib.sha256()
    for part in (str(seq), at, intervention, event, actor, detail, previous.hex()):
        raw = part.encode()
        digest.update(b"%d:%b\n" % (len(raw), raw))
    return digest.digest()


def _rows(connection: psycopg.Connection) -> Iterator[tuple[Any, ...]]:
    with connection.cursor("audit") as cursor:
        cursor.itersize = _CHUNK
        cursor.execute(_READ)
        rest = iter(cursor)
        while chunk := list(islice(rest, _CHUNK)):
            for *values, previous, stored in chunk:
                yield (*values, bytes(previous), bytes(stored))
