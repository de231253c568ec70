"""What a person may ask for: everything that is stored about them, and its erasure. Each leaves a row as proof.

The row names nobody: it has the person's digest, which who knows the id (and has the key) can work out again. Tables
are found by their column `employee_id`, so that one that is added later cannot be forgotten.
"""

from __future__ import annotations

import json
import logging
import secrets
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from include.operations.errors import InputRejected
from include.operations.faults import fault_point
from include.operations.log import log_event
from include.organism import cache
from include.organism.deadletter import DeadLetter, DeadLetters
from include.organism.interventions import personal
from include.organism.metric_store.teams import cohort_digest
from include.organism.privacy import choices
from include.organism.privacy.pseudonym import Pseudonyms

if TYPE_CHECKING:
    import psycopg

    from include.organism.settings import Settings
    from include.organism.update import Clients

log = logging.getLogger(__name__)
_DISCARD_REASON: Final = "erasure of a person"

_TABLES: Final = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attname = 'employee_id' and not a.attisdropped
where n.nspname = 'organism' and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""
_BEGIN: Final = """
insert into organism.privacy_request (request_id, kind, person_digest, requested_by) values (%s, %s, %s, %s)
"""
_OPEN: Final = """
select request_id from organism.privacy_request
where kind = %s and person_digest = %s and completed_at is null order by requested_at limit 1
"""
_COMPLETE: Final = "update organism.privacy_request set completed_at = now(), counts = %s where request_id = %s"
# Whoever writes measurements takes a weaker lock and then looks for erased people, so none is written behind this.
_LOCK: Final = "lock table organism.employee_metrics in share row exclusive mode"
_COHORTS: Final = "select cohort_id, members from organism.team_cohort where %s = any(members) for update"
_MASK: Final = "update organism.team_cohort set members = %s, digest = %s where cohort_id = %s"
_PROPERTIES: Final = """
MATCH (e:Employee {id: $id})
OPTIONAL MATCH (e)-[:REPORTS_TO]->(m)
RETURN properties(e) AS properties, count(m) AS managers
"""
_TIES: Final = """
MATCH (e:Employee {id: $id})-[r:INTERACTS]-()
RETURN CASE WHEN startNode(r) = e THEN 'sent' ELSE 'received' END AS direction, r.count AS count, r.weight AS weight,
  r.first_at AS first_at, r.last_at AS last_at ORDER BY last_at, direction DESC
"""
_OPT_OUT: Final = """
MERGE (e:Employee {id: $id})
ON CREATE SET e.provisional = true, e.created_at = timestamp(), e.degree = 0, e.degree_centrality = 0.0,
  e.strength = 0.0, e.fresh = true
SET e.opted_out = $out
WITH e, coalesce(e.fresh, false) AS fresh
REMOVE e.fresh
RETURN fresh
"""


@dataclass(frozen=True, slots=True)
class Requests:
    """Answers one person's requests.

    Attributes:
        clients: Redis and the graph.
        settings: those of the 5-minute pipeline.
        warehouse: opens the warehouse.
        account: who runs the command.
    """

    clients: Clients
    settings: Settings
    warehouse: Callable[[], AbstractContextManager[psycopg.Connection]]
    account: str

    def export(self, given: str) -> dict[str, Any]:
        """Everything stored about a person; of others nothing, so ties have no names.

        Args:
            given: the producers' id of the person.
        """
        pseudonyms = Pseudonyms.from_env()
        person = pseudonyms.of(given)
        request = self._begin("export", pseudonyms.tombstone(person))
        found: dict[str, Any] = {"person": person, **self._graph_of(person)}
        with self.warehouse() as connection:
            found["tables"] = {table: _rows(connection, table, person) for table in _tables(connection)}
            row = connection.execute(
                "select count(*) from organism.team_cohort where %s = any(members)", [person]
            ).fetchone()
            found["published_groups"] = row[0] if row else 0
        cached = self.clients.redis.get(cache.employee_key(person))
        found["cached"] = None if cached is None else json.loads(cast("bytes", cached))
        found["dead_letters"] = sum(1 for _ in self._letters(given))
        counts = {table: len(rows) for table, rows in found["tables"].items() if rows}
        self._complete(request, {**counts, "ties": len(found["ties"])})
        return found

    def erase(self, given: str, acquire: Callable[[str], Any]) -> dict[str, int]:
        """Delete everything stored about a person, and keep them from coming back. Can be repeated after any failure.

        Args:
            given: the producers' id of the person.
            acquire: takes the graph's lease for a run and returns the ledger.

        Returns:
            What was deleted, by place.

        Raises:
            LeaseHeld: a run of the 5-minute pipeline goes on, or of an intervention for the person.
            NotCancelled: an action for the person is in force in a system that does not cancel it.
        """
        pseudonyms = Pseudonyms.from_env()
        person = pseudonyms.of(given)
        digest = pseudonyms.tombstone(person)
        # From here on assessments and measurements of this person are refused.
        request = self._begin("erase", digest)
        fault_point("erase.begun")
        with self.warehouse() as connection:
            cancelled = personal.cancel(connection, person)
        run = f"privacy {request}"
        graph = self.clients.graph(self.settings)
        graph.ensure_schema()
        ledger = acquire(run)
        counts = graph.erase(ledger, person, digest)
        fault_point("erase.graph_done")
        graph.finish(ledger, {})
        graph.release(run)
        with self.warehouse() as connection:
            # Of an action that has begun meanwhile; none knows the person any more.
            cancelled += personal.cancel(connection, person)
            counts |= _erase_rows(connection, person)
            counts |= personal.forget(connection, self.clients.driver, self.clients.database, person)
            fault_point("erase.in_transaction")
        counts["cancelled_actions"] = cancelled
        _, counts["cached"] = cache.invalidate(self.clients.redis, [person])
        counts["dead_letters"] = self._discard_letters(given)
        fault_point("erase.before_proof")
        self._complete(request, counts)
        log_event(log, "person_erased", request=request, **counts)
        return counts

    def opt_out(self, given: str, *, out: bool) -> bool:
        """Opt a person out, or in again; returns whether nobody had heard of them before."""
        pseudonyms = Pseudonyms.from_env()
        person = pseudonyms.of(given)
        request = self._begin("opt_out", pseudonyms.tombstone(person))
        graph = self.clients.graph(self.settings)
        graph.ensure_schema()
        with self.warehouse() as connection:
            choices.opt_out(connection, person, out=out)
        rows = self.clients.driver.execute_query(_OPT_OUT, id=person, out=out, database_=self.clients.database).records
        cache.invalidate(self.clients.redis, [person])
        self._complete(request, {"out": int(out)})
        return bool(rows[0]["fresh"])

    def _begin(self, kind: str, digest: str) -> uuid.UUID:
        """The number of a new request, or of the same one that was interrupted."""
        with self.warehouse() as connection:
            row = connection.execute(_OPEN, [kind, digest]).fetchone()
            if row is not None:
                return cast("uuid.UUID", row[0])
            request = uuid.uuid4()
            connection.execute(_BEGIN, [request, kind, digest, self.account])
        return request

    def _complete(self, request: uuid.UUID, counts: dict[str, int]) -> None:
        from psycopg.types.json import Jsonb

        with self.warehouse() as connection:
            connection.execute(_COMPLETE, [Jsonb(counts), request])

    def _graph_of(self, person: str) -> dict[str, Any]:
        def ask(query: str) -> list[dict[str, Any]]:
            result = self.clients.driver.execute_query(cast("Any", query), id=person, database_=self.clients.database)
            return [row.data() for row in result.records]

        nodes = ask(_PROPERTIES)
        return {"node": nodes[0] if nodes else None, "ties": ask(_TIES)}

    def _letters(self, given: str) -> list[DeadLetter]:
        dead = DeadLetters(self.clients.redis, self.settings)
        return [letter for letter in dead.letters() if _names(letter, given)]

    def _discard_letters(self, given: str) -> int:
        dead = DeadLetters(self.clients.redis, self.settings)
        return sum(dead.discard(each, reason=_DISCARD_REASON, who=self.account) for each in self._letters(given))


def require_known(found: dict[str, Any]) -> None:
    """Refuse an export that holds nothing: more likely a typing error than a person nobody knows.

    Raises:
        InputRejected: nothing is stored.
    """
    if found["node"] is None and not any(found["tables"].values()) and not found["dead_letters"]:
        raise InputRejected("nothing is stored about this person", what_to_do="check the id; give it as producers do")


def _tables(connection: psycopg.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_TABLES)]


def _rows(connection: psycopg.Connection, table: str, person: str) -> list[dict[str, Any]]:
    from psycopg import sql
    from psycopg.rows import dict_row

    statement = sql.SQL("select * from {} where employee_id = %s").format(sql.Identifier("organism", table))
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, [person]).fetchall()


def _erase_rows(connection: psycopg.Connection, person: str) -> dict[str, int]:
    """Delete the person's rows; in remembered groups a random word takes their place, so that the group keeps its size.

    A group without them would otherwise count as published, and next week's number about it would tell about them.
    """
    from psycopg import sql

    connection.execute(_LOCK)
    counts = {}
    for table in _tables(connection):
        statement = sql.SQL("delete from {} where employee_id = %s").format(sql.Identifier("organism", table))
        counts[table] = connection.execute(statement, [person]).rowcount
    word = f"erased-{secrets.token_hex(8)}"
    cohorts = connection.execute(_COHORTS, [person]).fetchall()
    for cohort_id, members in cohorts:
        masked = [word if member == person else member for member in members]
        connection.execute(_MASK, [masked, cohort_digest(masked), cohort_id])
    return counts | {"remembered_groups": len(cohorts)}


def _names(letter: DeadLetter, person: str) -> bool:
    """Whether an unusable entry names this person as source or target."""
    fields = dict(zip(letter.fields[::2], letter.fields[1::2], strict=True))
    if person.encode() in (fields.get(b"source"), fields.get(b"target")):
        return True
    try:
        several = json.loads(fields.get(b"target", b""))
    except (ValueError, RecursionError):
        return False
    return isinstance(several, list) and person in map(str, several)
