"""Reads the people graph once, streamed, into columns."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from typing import Any, Final, cast

import neo4j
import numpy as np

from include.organism.graph_metrics.snapshot import Edges, People, Snapshot, snapshot

# People who have opted out or are on leave are not read, so that nothing about them is computed.
_PEOPLE: Final = """
MATCH (e:Employee) WHERE NOT coalesce(e.opted_out, false) AND NOT coalesce(e.on_leave, false)
RETURN e.id, e.team, coalesce(e.is_manager, false)
"""
# One record a person, with lists: an edge then costs no record of its own. Aggregated person by person, so that the
# server streams. `collect` leaves nulls out, which would shift a column against the others: hence the replacements.
_EDGES: Final = """
MATCH (a:Employee)
CALL (a) {
  MATCH (a)-[r:INTERACTS]->(b:Employee)
  RETURN collect(b.id) AS targets, collect(coalesce(toFloatOrNull(r.weight), $nan)) AS weights,
    collect(coalesce(toFloatOrNull(r.recency_weight), $nan)) AS recencies,
    collect(coalesce(toIntegerOrNull(r.last_at), -1)) AS times
}
WITH a, targets, weights, recencies, times WHERE size(targets) > 0
RETURN a.id, targets, weights, recencies, times
"""
# A million edges take ten seconds.
_TIMEOUT_S: Final = 300.0


def read_snapshot(
    driver: neo4j.Driver, database: str | None, half_life_ms: float, excluded: Collection[str] = ()
) -> Snapshot:
    """Read people and edges in one transaction, without those who are `excluded`, opted out or on leave.

    The 5-minute pipeline may write meanwhile: an edge is then read as it was or as it is. A person added after the
    list of people was read is unknown here, and so are their edges, until the next run.
    """
    left_out = frozenset(excluded)

    @neo4j.unit_of_work(timeout=_TIMEOUT_S)
    def work(tx: neo4j.ManagedTransaction) -> Snapshot:
        people = _people(tx, left_out)
        edges, unknown = _edges(tx, {person: number for number, person in enumerate(people.ids)})
        return snapshot(people, edges, half_life_ms, unknown)

    with driver.session(database=database) as session:
        return session.execute_read(work)


def _people(tx: neo4j.ManagedTransaction, left_out: frozenset[str]) -> People:
    rows = sorted((tuple(record.values()) for record in tx.run(_PEOPLE)), key=lambda row: str(row[0]))
    rows = [row for row in rows if row[0] not in left_out]
    teams = sorted({team for _, team, _ in rows if team is not None})
    numbers = {team: number for number, team in enumerate(teams)} | {None: -1}
    return People(
        ids=[person for person, _, _ in rows],
        team=np.array([numbers[team] for _, team, _ in rows], np.int32),
        teams=teams,
        is_manager=np.array([manager for _, _, manager in rows], bool),
    )


def _edges(tx: neo4j.ManagedTransaction, numbers: dict[str, int]) -> tuple[Edges, int]:
    """Usable columns, and how many edges begin at somebody who is not in `numbers`."""
    source, target, last = array("i"), array("i"), array("q")
    weight, recency = array("d"), array("d")
    unknown = 0
    for record in tx.run(cast("Any", _EDGES), nan=float("nan")):
        person, targets, weights, recencies, times = record.values()
        number = numbers.get(person)
        if number is None:
            unknown += len(targets)
            continue
        source.extend([number] * len(targets))
        target.extend([numbers.get(each, -1) for each in targets])
        weight.extend(weights)
        recency.extend(recencies)
        last.extend(times)
    columns = (np.array(column) for column in (source, target, weight, recency, last))
    return Edges(*columns), unknown
