"""Puts an exported graph into a Neo4j that is empty, or is emptied for it.

The transactions of Neo4j do not hold a whole graph, so a restore is many. A node `(:GraphRestore)` is there from the
first to the last of them: a graph with that node is half restored, and only `replace` may go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import neo4j

from include.operations.backup.errors import BackupDiffers, TargetNotEmpty
from include.operations.backup.graph import RESTORING, Graph, digest_of, lines
from include.operations.backup.store import Content
from include.operations.backup.values import decode
from include.operations.errors import InputRejected
from include.operations.faults import fault_point

_BATCH: Final = 5_000
# The text of an index or a constraint comes from the file: nothing else is run from there.
_STATEMENTS: Final = ("CREATE CONSTRAINT ", "CREATE INDEX ", "CREATE RANGE INDEX ", "CREATE TEXT INDEX ")
_STATEMENTS_RARE: Final = ("CREATE POINT INDEX ", "CREATE FULLTEXT INDEX ", "CREATE VECTOR INDEX ")
_COUNT: Final = "MATCH (n) WITH count(n) AS nodes OPTIONAL MATCH (m:GraphRestore) RETURN nodes, count(m)"
_EMPTY: Final = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS"
_BEGIN: Final = f"CREATE (:{RESTORING} {{backup: $name, at: datetime()}})"
_END: Final = f"MATCH (n:{RESTORING}) DELETE n"
_NODES: Final = """
UNWIND range(0, size($rows) - 1) AS i
CREATE (n:$($rows[i][0])) SET n = $rows[i][1]
RETURN i, elementId(n)
"""
_RELATIONSHIPS: Final = """
UNWIND $rows AS row
MATCH (a) WHERE elementId(a) = row[1]
MATCH (b) WHERE elementId(b) = row[2]
CREATE (a)-[r:$(row[0])]->(b) SET r = row[3]
"""


def require_empty(graph: Graph) -> None:
    """Refuse a graph that holds nodes.

    Raises:
        TargetNotEmpty: it does.
    """
    ((nodes, marks),) = graph.rows(_COUNT)
    if nodes:
        half = " and is half restored" if marks else ""
        raise TargetNotEmpty(
            f"the target graph holds {nodes:,} nodes{half}",
            what_to_do="restore into an empty server, or name the target with --into and add --replace",
        )


def restore(
    graph: Graph, data: Iterable[bytes], name: str, wanted: dict[str, Content], *, replace: bool = False
) -> None:
    """Restore an export, and compare what is there then with what was exported.

    Raises:
        TargetNotEmpty: the graph holds nodes and `replace` is not set.
        BackupDamaged: the file cannot be read to its end.
        BackupDiffers: the graph is not what was exported.
    """
    if replace:
        _auto_commit(graph, _EMPTY)
    require_empty(graph)
    _auto_commit(graph, _BEGIN, name=name)
    _Loader(graph).load(lines(data, name))
    if digest_of(graph) != wanted:
        raise BackupDiffers(
            f"the graph restored from {name} is not the one that was exported",
            what_to_do="make sure that nobody writes to it, and restore again with --replace",
        )
    _auto_commit(graph, _END)


class _Loader:
    """Nodes and relationships, a batch a transaction."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._ids: dict[int, str] = {}
        self._numbers: list[int] = []
        self._nodes: list[list[Any]] = []
        self._relationships: list[list[Any]] = []

    def load(self, objects: Iterable[dict[str, Any]]) -> None:
        """Load what an exported file holds."""
        schema = []
        for line in objects:
            if "n" in line:
                self._numbers.append(line["n"])
                self._nodes.append([line["l"], _decoded(line["p"])])
                if len(self._nodes) >= _BATCH:
                    self._write_nodes()
            elif "r" in line:
                self._write_nodes()
                ends = (self._ids[line["s"]], self._ids[line["t"]])
                self._relationships.append([line["r"], *ends, _decoded(line["p"])])
                if len(self._relationships) >= _BATCH:
                    self._write_relationships()
            elif "schema" in line:
                schema.append(line["schema"])
        self._write_nodes()
        self._write_relationships()
        for statement in schema:
            self._create(statement)
        _auto_commit(self._graph, "CALL db.awaitIndexes(3600)")

    def _create(self, statement: str) -> None:
        if not statement.startswith(_STATEMENTS + _STATEMENTS_RARE):
            raise InputRejected("the backup holds a statement that is no index", what_to_do="do not trust this file")
        kind, _, rest = statement.partition(" FOR ")
        # One may be there already: the pipeline makes its own at each start.
        _auto_commit(self._graph, f"{kind} IF NOT EXISTS FOR {rest}")

    def _write_nodes(self) -> None:
        if not self._nodes:
            return
        with self._graph.session() as session:
            for place, element in session.execute_write(_rows, _NODES, self._nodes):
                self._ids[self._numbers[place]] = element
        self._nodes, self._numbers = [], []
        fault_point("backup.in_restore")

    def _write_relationships(self) -> None:
        if self._relationships:
            with self._graph.session() as session:
                session.execute_write(_rows, _RELATIONSHIPS, self._relationships)
        self._relationships = []


def _decoded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: decode(value) for key, value in values.items()}


def _rows(tx: neo4j.ManagedTransaction, query: str, rows: list[list[Any]]) -> list[list[Any]]:
    return [record.values() for record in tx.run(cast("Any", query), rows=rows)]


def _auto_commit(graph: Graph, statement: str, **parameters: Any) -> None:
    """Run a statement that brings its own transactions, or changes the schema."""
    with graph.session() as session:
        session.run(cast("Any", statement), parameters).consume()
