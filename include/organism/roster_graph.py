"""Writing a roster into the people graph: fenced, idempotent, without cycles in REPORTS_TO.

The node `(:RosterLedger {key})` holds the fencing epoch. Each transaction locks it first, so two loads never mix, and
one whose epoch is old (its task was given up, its process lives on) writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, cast

import neo4j

from include.operations.errors import LeaseLost
from include.organism import cypher
from include.organism.people_file import Refusal
from include.organism.privacy.graph import require_key
from include.organism.privacy.pseudonym import Pseudonyms
from include.organism.roster import FLAGS, Person, Roster
from include.organism.roster_hierarchy import resolve

T = TypeVar("T")

_KEY = "roster"
_BATCH = 5_000

_SCHEMA = (
    *cypher.SCHEMA,
    "CREATE CONSTRAINT roster_ledger_key IF NOT EXISTS FOR (l:RosterLedger) REQUIRE l.key IS UNIQUE",
)

_BEGIN = """
MERGE (l:RosterLedger {key: $key})
ON CREATE SET l.epoch = 0, l.scaled_people = 0, l.all_stale = false
SET l.epoch = l.epoch + 1, l.run = $run
RETURN l.epoch AS epoch
"""

# The SET before the read takes the node's write lock: of two writers one waits here.
_LOCK = """
MATCH (l:RosterLedger {key: $key}) SET l.locked_at = timestamp()
RETURN l.epoch AS epoch, l.scaled_people AS scaled_people
"""

_MANAGERS = "MATCH (e:Employee)-[:REPORTS_TO]->(m:Employee) RETURN e.id AS id, m.id AS manager"

_KNOWN = "UNWIND $ids AS id MATCH (e:Employee {id: id}) RETURN e.id AS id"

# Of a person: {id, values}. Same: the graph says all of it already.
_COMPARE = """
UNWIND $rows AS row
OPTIONAL MATCH (e:Employee {id: row.id})
WITH row, e, coalesce(e.provisional, true) = false AND all(name IN keys(row.values)
  WHERE coalesce(e[name] = row.values[name], e[name] IS NULL AND row.values[name] IS NULL)) AS same
"""

_COUNT = (
    _COMPARE
    + """
RETURN count(CASE WHEN e IS NULL THEN 1 END) AS created, count(CASE WHEN same THEN 1 END) AS unchanged
"""
)

_CREATE = """
UNWIND $ids AS id
MERGE (e:Employee {id: id})
ON CREATE SET e.provisional = true, e.created_at = timestamp(), e.degree = 0, e.degree_centrality = 0.0,
  e.strength = 0.0
"""

# A flag nobody has set yet is off; one that an empty cell leaves alone stays as it is.
_WRITE = (
    _COMPARE
    + f"""
WITH row, e WHERE e IS NOT NULL AND NOT same
SET e += row.values
SET e.provisional = false, e.updated_at = timestamp(),
  {", ".join(f"e.{flag} = coalesce(e.{flag}, false)" for flag in FLAGS)}
"""
)

# Of a person: [id, manager or null]
_DROP_MANAGERS = """
UNWIND $rows AS row
MATCH (:Employee {id: row[0]})-[r:REPORTS_TO]->(m:Employee)
WHERE row[1] IS NULL OR m.id <> row[1]
DELETE r
"""

_SET_MANAGERS = """
UNWIND $rows AS row
MATCH (e:Employee {id: row[0]})
MATCH (m:Employee {id: row[1]})
MERGE (e)-[:REPORTS_TO]->(m)
"""

_RESCALED = "MATCH (l:RosterLedger {key: $key}) SET l.scaled_people = $people, l.all_stale = true"
_IS_ALL_STALE = "MATCH (l:RosterLedger {key: $key}) RETURN l.all_stale AS all_stale"
_ALL_FRESH = "MATCH (l:RosterLedger {key: $key}) WHERE l.epoch = $epoch SET l.all_stale = false"
_ALL_IDS = "MATCH (e:Employee) RETURN e.id AS id"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a roster means for the graph as it is.

    Attributes:
        people: people whose rows can be used.
        refusals: rows that cannot be used because of what the graph says.
        created: people that are not in the graph.
        unchanged: people of whom the graph says all of it already, but for the manager.
        managers: `[id, manager or None]` of those whose manager changes.
    """

    people: list[Person]
    refusals: list[Refusal]
    created: int
    unchanged: int
    managers: list[list[str | None]]


class RosterGraph:
    """Reads and writes the graph for rosters."""

    def __init__(self, driver: neo4j.Driver, database: str | None = None) -> None:
        self._driver = driver
        self._database = database

    def begin(self, run: str) -> int:
        """Create what the schema lacks, fence off every earlier load, and return this one's epoch.

        Raises:
            InputRejected: the graph was built with another key of pseudonyms.
        """
        with self._session() as session:
            for statement in _SCHEMA:
                session.run(cast("Any", statement)).consume()
        pseudonyms = Pseudonyms.from_env()

        def work(tx: neo4j.ManagedTransaction) -> int:
            require_key(tx, pseudonyms)
            return cast("int", _one(tx, _BEGIN, key=_KEY, run=run)["epoch"])

        return self._write(work)

    def plan(self, roster: Roster) -> Plan:
        """Say what a load would do; writes nothing."""
        with self._session() as session:
            return session.execute_read(lambda tx: _plan(tx, roster))

    def write_hierarchy(self, epoch: int, roster: Roster) -> Plan:
        """Plan, create the people that are missing, and set all managers, in one transaction.

        In one, because half of a reorganisation may be a cycle where the whole is none.

        Raises:
            LeaseLost: a later load has begun; nothing was written.
        """

        def work(tx: neo4j.ManagedTransaction) -> Plan:
            _lock(tx, epoch)
            plan = _plan(tx, roster)
            ids = {person.id for person in plan.people} | {manager for _, manager in plan.managers if manager}
            for part in _parts(sorted(ids)):
                tx.run(_CREATE, ids=part).consume()
            for rows in _parts(plan.managers):
                tx.run(_DROP_MANAGERS, rows=rows).consume()
            for rows in _parts([row for row in plan.managers if row[1] is not None]):
                tx.run(_SET_MANAGERS, rows=rows).consume()
            return plan

        return self._write(work)

    def write_people(self, epoch: int, people: Sequence[Person]) -> None:
        """Set the properties of people that are in the graph; those that say the same already are left alone.

        Raises:
            LeaseLost: a later load has begun; what was committed before stays.
        """
        for part in _parts(sorted(people, key=lambda person: person.id)):

            def work(tx: neo4j.ManagedTransaction, rows: list[dict[str, Any]]) -> None:
                _lock(tx, epoch)
                tx.run(_WRITE, rows=rows).consume()

            self._write(work, _rows(part))

    def finish(self, epoch: int) -> bool:
        """Rescale everyone's degree centrality if the number of people changed; returns whether it did.

        The definition is that of `PeopleGraph.finish`: degree / (N - 1).

        Raises:
            LeaseLost: a later load has begun, which will do it.
        """

        def work(tx: neo4j.ManagedTransaction) -> bool:
            scaled = _lock(tx, epoch)["scaled_people"]
            people = _one(tx, cypher.COUNT_PEOPLE)["people"]
            if people == scaled:
                return False
            tx.run(cypher.RESCALE_DEGREES, people=people).consume()
            tx.run(_RESCALED, key=_KEY, people=people).consume()
            return True

        return self._write(work)

    def stale_people(self, people: Sequence[Person]) -> Iterator[str]:
        """Ids of people whose cached figures may be wrong: everyone after a rescaling, else `people`."""
        with self._session() as session:
            if not _one(session, _IS_ALL_STALE, key=_KEY)["all_stale"]:
                yield from (person.id for person in people)
                return
            for record in session.run(_ALL_IDS):
                yield record["id"]

    def mark_fresh(self, epoch: int) -> None:
        """Remember that the cached figures of everyone are gone; a load that is fenced off remembers nothing."""
        self._write(lambda tx: tx.run(_ALL_FRESH, key=_KEY, epoch=epoch).consume())

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=self._database)

    def _write(self, work: Callable[..., T], *values: Any) -> T:
        with self._session() as session:
            return session.execute_write(work, *values)


def _plan(tx: neo4j.ManagedTransaction, roster: Roster) -> Plan:
    current: defaultdict[str, set[str]] = defaultdict(set)
    for record in tx.run(_MANAGERS):
        current[record["id"]].add(record["manager"])
    strangers = sorted({p.manager for p in roster.people if p.manager is not None} - roster.ids)
    known = roster.ids | {record["id"] for part in _parts(strangers) for record in tx.run(_KNOWN, ids=part)}
    people, refusals = resolve(roster.people, known, current)
    created = unchanged = 0
    for part in _parts(people):
        counts = _one(tx, _COUNT, rows=_rows(part))
        created += counts["created"]
        unchanged += counts["unchanged"]
    managers: list[list[str | None]] = [
        [person.id, person.manager]
        for person in people
        if person.names_manager and current.get(person.id, set()) != ({person.manager} if person.manager else set())
    ]
    return Plan(people, refusals, created, unchanged, sorted(managers, key=lambda row: str(row[0])))


def _lock(tx: neo4j.ManagedTransaction, epoch: int) -> neo4j.Record:
    held = _one(tx, _LOCK, key=_KEY)
    if held["epoch"] != epoch:
        raise LeaseLost(
            f"roster load {epoch} was fenced off by load {held['epoch']}",
            what_to_do="nothing: the later load goes on; load this roster again if it is the newer one",
        )
    return held


def _one(runner: neo4j.ManagedTransaction | neo4j.Session, query: str, **parameters: Any) -> neo4j.Record:
    return runner.run(cast("Any", query), **parameters).single(strict=True)


def _rows(people: Iterable[Person]) -> list[dict[str, Any]]:
    return [{"id": person.id, "values": person.values} for person in people]


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    """Slices that one statement takes."""
    rest = iter(items)
    while part := list(islice(rest, _BATCH)):
        yield part
