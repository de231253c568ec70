"""The people graph as a file: gzip of JSON lines, exported and restored over Bolt.

    {"schema": "CREATE CONSTRAINT ..."}
    {"n": 17, "l": ["Employee"], "p": {...}}        a node; the number stands for it in this file only
    {"r": "INTERACTS", "s": 17, "t": 4, "p": {...}} a relationship
    {"end": {"nodes": [count, checksum], "relationships": [count, checksum]}}

Neo4j has no snapshots: an export that runs while somebody writes mixes two moments. So the ledger is compared before
and after, and an export during which a batch was committed is refused; in Airflow it also waits for the one slot of the
graph writers' pool. What that leaves possible is a property that some other writer sets during the export.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from include.operations.backup.errors import BackupDamaged, BackupDiffers
from include.operations.backup.store import Content
from include.operations.backup.values import fingerprint, properties
from include.operations.errors import LeaseHeld
from include.operations.faults import fault_point

if TYPE_CHECKING:
    import neo4j

RESTORING: Final = "GraphRestore"
_FETCH: Final = 2_000
_BLOCK: Final = 1 << 18
_SCHEMA: Final = (
    "SHOW CONSTRAINTS YIELD createStatement, name RETURN createStatement, name ORDER BY name",
    "SHOW INDEXES YIELD createStatement, name, type, owningConstraint "
    "WHERE owningConstraint IS NULL AND type <> 'LOOKUP' RETURN createStatement, name ORDER BY name",
)
_NODES: Final = "MATCH (n) WHERE NOT n:GraphRestore RETURN elementId(n), labels(n), properties(n)"
_RELATIONSHIPS: Final = "MATCH (a)-[r]->(b) RETURN type(r), elementId(a), elementId(b), properties(r)"
_LEDGERS: Final = (
    "MATCH (l:StreamLedger) RETURN l.key, l.epoch, l.last_batch, l.watermark_ms, l.watermark_seq ORDER BY 1"
)
_VERSION: Final = "CALL dbms.components() YIELD name, versions, edition RETURN name, versions[0], edition"
NODES: Final = "nodes"
RELATIONSHIPS: Final = "relationships"


class _Sum:
    """Count and order-free checksum."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0

    def add(self, value: int) -> None:
        self.count += 1
        self.sum = (self.sum + value) & 0xFFFF_FFFF_FFFF_FFFF

    def content(self) -> Content:
        return Content(self.count, f"{self.sum:016x}")


class Digest:
    """Checksums of a graph that do not depend on the numbers its nodes happen to have.

    A relationship's checksum covers those of both its ends.
    """

    def __init__(self) -> None:
        self._nodes, self._relationships = _Sum(), _Sum()
        # By node number: whether it is known, and its checksum. Eight bytes each, where a dictionary takes a hundred.
        self._known = bytearray()
        self._prints = array("Q")

    def node(self, number: int, labels: list[str], values: dict[str, Any]) -> None:
        """Take a node."""
        value = fingerprint(sorted(labels), values)
        if number >= len(self._known):
            more = max(number + 1 - len(self._known), len(self._known))
            self._known += bytes(more)
            self._prints.frombytes(bytes(8 * more))
        self._known[number] = 1
        self._prints[number] = value
        self._nodes.add(value)

    def relationship(self, kind: str, start: int, end: int, values: dict[str, Any]) -> bool:
        """Take a relationship; False when one of its ends is not known."""
        if not all(n < len(self._known) and self._known[n] for n in (start, end)):
            return False
        self._relationships.add(fingerprint(kind, self._prints[start], self._prints[end], values))
        return True

    def content(self) -> dict[str, Content]:
        """What was taken, as the manifest has it."""
        return {NODES: self._nodes.content(), RELATIONSHIPS: self._relationships.content()}


@dataclass(frozen=True, slots=True)
class Graph:
    """A driver and the database to use (None: the server's default)."""

    driver: neo4j.Driver
    database: str | None = None

    def session(self) -> neo4j.Session:
        """A session that streams."""
        return self.driver.session(database=self.database, fetch_size=_FETCH)

    def rows(self, query: str, **parameters: Any) -> list[list[Any]]:
        """The rows of a small answer."""
        with self.session() as session:
            return [record.values() for record in session.run(cast("Any", query), parameters)]

    def version(self) -> str:
        """Product, version and edition."""
        return " ".join(str(part) for part in self.rows(_VERSION)[0])


def export(graph: Graph, write: Callable[[bytes], None]) -> dict[str, Content]:
    """Give the file's bytes to `write`; returns what is in it.

    Raises:
        LeaseHeld: a batch was committed meanwhile; what was written mixes two moments.
        BackupDiffers: the end of a relationship was missing although no batch was committed.
    """
    before = graph.rows(_LEDGERS)
    content, dangling = _export_once(graph, write)
    if graph.rows(_LEDGERS) != before:
        raise LeaseHeld("the graph was changed while it was exported", what_to_do="nothing: it is tried again")
    if dangling:
        raise BackupDiffers(
            f"{dangling:,} relationships came to nodes that were not there a moment before",
            what_to_do="run it again while nobody loads a roster or writes to the graph by hand",
        )
    return content


def _export_once(graph: Graph, write: Callable[[bytes], None]) -> tuple[dict[str, Content], int]:
    lines = _Gzip(write)
    digest = Digest()
    dangling = 0
    for query in _SCHEMA:
        for statement, _name, *_rest in graph.rows(query):
            lines.write({"schema": statement})
    with graph.session() as session:
        for element, labels, values in _stream(session, _NODES):
            number, encoded = _number(element), properties(values)
            digest.node(number, labels, encoded)
            lines.write({"n": number, "l": labels, "p": encoded})
        fault_point("backup.in_export")
        for kind, *ends, values in _stream(session, _RELATIONSHIPS):
            (start, end), encoded = map(_number, ends), properties(values)
            dangling += not digest.relationship(kind, start, end, encoded)
            lines.write({"r": kind, "s": start, "t": end, "p": encoded})
    content = digest.content()
    lines.write({"end": {name: [each.rows, each.checksum] for name, each in content.items()}})
    lines.finish()
    return content, dangling


def _stream(session: neo4j.Session, query: str) -> Iterator[list[Any]]:
    for record in session.run(cast("Any", query)):
        yield record.values()


def _number(element: str) -> int:
    """The store's number of a node, which its element id ends with; small and dense."""
    return int(element[element.rindex(":") + 1 :])


class _Gzip:
    """JSON lines into gzip, a block at a time."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._gzip = zlib.compressobj(5, wbits=31)
        self._lines: list[str] = []
        self._size = 0

    def write(self, value: dict[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        text = "".join(f"{line}\n" for line in self._lines)
        self._write(self._gzip.compress(text.encode("utf-8", "surrogatepass")))
        self._lines.clear()
        self._size = 0

    def finish(self) -> None:
        self._flush()
        self._write(self._gzip.flush())


def lines(data: Iterable[bytes], name: str) -> Iterator[dict[str, Any]]:
    """The objects of an exported file.

    Raises:
        BackupDamaged: it is cut off or no export.
    """
    try:
        for line in _text_lines(data):
            yield json.loads(line)
    except (zlib.error, ValueError, EOFError) as error:
        raise BackupDamaged(f"{name}: its content cannot be read", what_to_do="take another backup") from error


def _text_lines(data: Iterable[bytes]) -> Iterator[bytes]:
    gzip = zlib.decompressobj(wbits=31)
    rest = b""
    for chunk in data:
        *whole, rest = (rest + gzip.decompress(chunk)).split(b"\n")
        yield from whole
    if not gzip.eof or rest:
        raise EOFError


def read_back(data: Iterable[bytes], name: str) -> dict[str, Content]:
    """Read an exported file to its end and return what is in it.

    Raises:
        BackupDamaged: it is cut off, no export, or not what its last line says.
    """
    digest = Digest()
    said: Any = None
    for line in lines(data, name):
        if "n" in line:
            digest.node(line["n"], line["l"], line["p"])
        elif "r" in line:
            digest.relationship(line["r"], line["s"], line["t"], line["p"])
        elif "end" in line:
            said = line["end"]
    found = digest.content()
    if said != {each: [content.rows, content.checksum] for each, content in found.items()}:
        raise BackupDamaged(f"{name}: holds other nodes and relationships than it says", what_to_do="take another")
    return found


def digest_of(graph: Graph) -> dict[str, Content]:
    """What a graph holds now, under the same checksums."""
    return _export_once(graph, lambda _: None)[0]
