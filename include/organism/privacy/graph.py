"""Who must be left out of the people graph, and taking them out of it.

* Who has opted out keeps a node with its flags and nothing else: no ties, no figures.
* Who is on leave keeps what there is; nothing is added until they are back.
* Who was erased has no node; `(:Erased {digest})` keeps them from coming back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from include.operations.errors import InputRejected
from include.organism.privacy.pseudonym import VARIABLE, Pseudonyms

if TYPE_CHECKING:
    import neo4j

_BATCH: Final = 5_000

# A graph from before this node existed was built without a key.
_KEY: Final = """
CALL () { MATCH (e:Employee) RETURN count(e) AS people }
MERGE (l:PrivacyLedger {key: 'privacy'})
ON CREATE SET l.fingerprint = CASE WHEN people > 0 THEN '' ELSE $fingerprint END
RETURN l.fingerprint AS fingerprint
"""
_ABSENT: Final = """
MATCH (e:Employee) WHERE e.opted_out = true RETURN e.id AS id
UNION MATCH (e:Employee) WHERE e.on_leave = true RETURN e.id AS id
"""
_ERASED: Final = "MATCH (e:Erased) RETURN e.digest AS digest"
_OPTED_OUT: Final = """
MATCH (e:Employee) WHERE e.opted_out = true AND (EXISTS { (e)-[:INTERACTS]-() } OR e.metrics_at IS NOT NULL)
RETURN e.id AS id
"""
_CUT: Final = """
UNWIND $ids AS id
MATCH (e:Employee {id: id})
OPTIONAL MATCH (e)-[r:INTERACTS]-(o:Employee)
WITH collect(DISTINCT e) AS out, collect(DISTINCT r) AS ties, collect(DISTINCT o.id) AS near
FOREACH (r IN ties | DELETE r)
FOREACH (e IN out | SET e.degree = 0, e.degree_centrality = 0.0, e.strength = 0.0, e.touched_epoch = $epoch
  REMOVE e.betweenness_centrality, e.clustering_coefficient, e.metrics_at)
RETURN near, size(ties) AS ties
"""
_ERASE: Final = """
MATCH (e:Employee {id: $id})
WITH e, COUNT { (e)-[:REPORTS_TO]-() } AS reports
DETACH DELETE e
RETURN reports
"""
_BURY: Final = "MERGE (:Erased {digest: $digest})"
# Figures of those who were next to somebody, from the ties they still have.
_RECOUNT: Final = """
MATCH (anyone:Employee)
WITH count(anyone) AS people
UNWIND $ids AS id
MATCH (e:Employee {id: id})
WITH e, people, COUNT { MATCH (e)-[:INTERACTS]-(other) RETURN DISTINCT other } AS degree
OPTIONAL MATCH (e)-[r:INTERACTS]-()
WITH e, people, degree, coalesce(sum(r.weight), 0.0) AS strength
SET e.degree = degree, e.strength = toFloat(strength), e.touched_epoch = $epoch,
  e.degree_centrality = CASE WHEN people > 1 THEN toFloat(degree) / (people - 1) ELSE 0.0 END
"""


class LeftOut:
    """Answers `person in left_out` for everybody who must not be added to the graph; remembers the answers."""

    def __init__(self, absent: frozenset[str], erased: frozenset[str], pseudonyms: Pseudonyms) -> None:
        self._absent = absent
        self._erased = erased
        self._pseudonyms = pseudonyms
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._absent or self._erased)

    def __contains__(self, person: object) -> bool:
        name = str(person)
        found = self._known.get(name)
        if found is None:
            found = name in self._absent or (bool(self._erased) and self.is_erased(name))
            self._known[name] = found
        return found

    def is_erased(self, person: str) -> bool:
        """Whether this person was erased."""
        return self._pseudonyms.tombstone(person) in self._erased


def require_key(runner: neo4j.Session | neo4j.ManagedTransaction, pseudonyms: Pseudonyms) -> None:
    """Refuse to go on with a graph that was built with another key.

    Raises:
        InputRejected: it was, or with one where there is none now, or the other way round.
    """
    row = runner.run(_KEY, fingerprint=pseudonyms.fingerprint).single(strict=True)
    if row["fingerprint"] != pseudonyms.fingerprint:
        built = "with another key" if row["fingerprint"] else "without a key"
        raise InputRejected(
            f"the graph's people are named {built} than {VARIABLE} says",
            what_to_do=f"set {VARIABLE} back, or build a new graph from the events and the roster",
        )


def left_out(session: neo4j.Session, pseudonyms: Pseudonyms) -> LeftOut:
    """Who must be left out at this moment."""
    absent = frozenset(row["id"] for row in session.run(_ABSENT))
    return LeftOut(absent, frozenset(row["digest"] for row in session.run(_ERASED)), pseudonyms)


def cut_opted_out(tx: neo4j.ManagedTransaction, epoch: int) -> int:
    """Take the ties and figures of everybody who has opted out; returns how many people lost some.

    Ties are deleted, not hidden: who opts in again begins anew.
    """
    ids = [row["id"] for row in tx.run(_OPTED_OUT)]
    for part in _parts(iter(ids)):
        _cut(tx, part, epoch)
    return len(ids)


def erase(tx: neo4j.ManagedTransaction, person: str, digest: str, epoch: int) -> dict[str, int]:
    """Take a person out and leave a tombstone; returns what was deleted. Harmless to repeat."""
    ties = _cut(tx, [person], epoch)
    row = tx.run(_ERASE, id=person).single()
    tx.run(_BURY, digest=digest).consume()
    return {"people": 0 if row is None else 1, "ties": ties, "reports": 0 if row is None else row["reports"]}


def _cut(tx: neo4j.ManagedTransaction, ids: list[str], epoch: int) -> int:
    row = tx.run(_CUT, ids=ids, epoch=epoch).single(strict=True)
    for part in _parts(iter(row["near"])):
        tx.run(_RECOUNT, ids=part, epoch=epoch).consume()
    return cast("int", row["ties"])


def _parts(ids: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(ids, _BATCH)):
        yield part
