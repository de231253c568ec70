"""An exported graph comes back equal in a real Neo4j, whatever its values."""

import gzip

import neo4j
import pytest
from neo4j import spatial, time

from include.operations.backup.errors import BackupDamaged, BackupDiffers, TargetNotEmpty
from include.operations.backup.graph import Graph, digest_of, export, read_back
from include.operations.backup.graph_restore import restore
from include.operations.errors import InputRejected, LeaseHeld
from tests.faults.world import clear

pytestmark = pytest.mark.servers

VALUES = {
    "text": 'Zoë "\\\n \u2028 \U0001f600',
    "big": 2**62,
    "real": [0.1, float("inf"), float("-inf"), 5e-324],
    "none": [],
    "raw": bytes(range(256)),
    "flags": [True, False],
    "day": time.Date(2024, 2, 29),
    "at": time.DateTime.from_iso_format("2026-03-29T02:30:00.123456789+01:00"),
    "clock": time.Time.from_iso_format("23:59:59.000000001+02:00"),
    "local": time.DateTime(2026, 1, 2, 3, 4, 5),
    "span": time.Duration(months=14, days=-3, seconds=5, nanoseconds=7),
    "place": spatial.WGS84Point((13.4, 52.5)),
    "spot": spatial.CartesianPoint((1.0, 2.0, 3.0)),
}


@pytest.fixture
def graph(neo4j_server):
    with neo4j.GraphDatabase.driver(
        neo4j_server.uri, auth=neo4j_server.auth, notifications_disabled_classifications=["SCHEMA", "UNRECOGNIZED"]
    ) as driver:
        clear(driver)
        yield Graph(driver)
        drop_schema(driver)
        clear(driver)


def drop_schema(driver):
    for kind in ("CONSTRAINT", "INDEX"):
        rows = driver.execute_query(f"SHOW {kind}ES" if kind == "INDEX" else f"SHOW {kind}S").records
        for row in rows:
            if row["type"] != "LOOKUP":
                driver.execute_query(f"DROP {kind} `{row['name'].replace('`', '``')}`")


def fill(graph):
    run = graph.driver.execute_query
    run("CREATE CONSTRAINT person_id IF NOT EXISTS FOR (p:Person) REQUIRE p.id IS UNIQUE")
    run("CREATE INDEX `odd ``name` IF NOT EXISTS FOR (p:`Odd label`) ON (p.x, p.y)")
    run("UNWIND range(1, 600) AS i CREATE (:Person {id: i, x: i / 3.0})")
    run("CALL db.awaitIndexes()")
    run("MATCH (a:Person) UNWIND [a.id * 2, a.id + 1] AS i MATCH (b:Person {id: i}) CREATE (a)-[:MET {n: i}]->(b)")
    run(
        "CREATE (a:`Odd label`:Person {id: -1}) SET a += $values CREATE (a)-[:`odd ``type` {at: $at}]->(a)",
        values=VALUES,
        at=VALUES["at"],
    )
    run("CREATE (a:StreamLedger {key: 'k', epoch: 1, watermark_ms: 5}) CREATE ()")


def schema(graph):
    return {
        (
            row["name"],
            row["type"],
            tuple(row["labelsOrTypes"] or ()),
            tuple(row["properties"] or ()),
            row["owningConstraint"],
        )
        for row in graph.driver.execute_query("SHOW INDEXES").records
    }


def exported(graph):
    written = []
    return export(graph, written.append), written


def test_round_trip(graph, monkeypatch):
    monkeypatch.setattr("include.operations.backup.graph_restore._BATCH", 250)
    fill(graph)
    content, data = exported(graph)
    before = schema(graph)
    assert (content["nodes"].rows, content["relationships"].rows) == (603, 900)
    assert read_back(data, "graph") == content
    drop_schema(graph.driver)
    clear(graph.driver)
    restore(graph, data, "graph", content)
    assert digest_of(graph) == content
    assert schema(graph) == before
    (record,) = graph.driver.execute_query("MATCH (a:`Odd label`)-[r:`odd ``type`]->(a) RETURN a, r").records
    assert dict(record["a"]) == {"id": -1, **VALUES}
    assert dict(record["r"]) == {"at": VALUES["at"]}
    assert not graph.rows("MATCH (n:GraphRestore) RETURN n")


def test_a_target_that_holds_something_and_a_half_restored_one(graph, monkeypatch):
    graph.driver.execute_query("CREATE (:Person {id: 1})-[:MET]->(:Person {id: 2})")
    content, data = exported(graph)
    with pytest.raises(TargetNotEmpty, match="holds 2 nodes"):
        restore(graph, data, "graph", content)

    def fail(_self):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr("include.operations.backup.graph_restore._Loader._write_relationships", fail)
        with pytest.raises(OSError):  # noqa: PT011
            restore(graph, data, "graph", content, replace=True)
    with pytest.raises(TargetNotEmpty, match="half restored"):
        restore(graph, data, "graph", content)
    restore(graph, data, "graph", content, replace=True)
    assert digest_of(graph) == content


def test_a_batch_that_is_committed_meanwhile_is_noticed(graph):
    graph.driver.execute_query("CREATE (:StreamLedger {key: 'k', epoch: 1}) CREATE (:Person)-[:MET]->(:Person)")

    def write(_):
        graph.driver.execute_query("MATCH (l:StreamLedger) SET l.epoch = l.epoch + 1 CREATE (:Person)")

    with pytest.raises(LeaseHeld):
        export(graph, write)


def test_damaged_exports(graph):
    graph.driver.execute_query("UNWIND range(1, 50) AS i CREATE (:Person {id: i})-[:MET]->(:Person {id: -i})")
    content, data = exported(graph)
    whole = b"".join(data)
    for broken in (whole[:-1], whole[:50], b"", b"{}\n", whole[:40] + bytes(20) + whole[60:]):
        with pytest.raises(BackupDamaged):
            read_back([broken], "graph")
    missing = gzip.compress(gzip.decompress(whole).replace(b'{"r":', b'{"x":', 1))
    with pytest.raises(BackupDamaged, match="holds other nodes"):
        read_back([missing], "graph")
    clear(graph.driver)
    with pytest.raises(BackupDiffers, match="is not the one that was exported"):
        restore(graph, [missing], "graph", content)


def test_nothing_but_indexes_is_run_from_a_file(graph):
    evil = gzip.compress(b'{"schema":"MATCH (n) DETACH DELETE n"}\n{"end":{}}\n')
    with pytest.raises(InputRejected):
        restore(graph, [evil], "graph", {})
