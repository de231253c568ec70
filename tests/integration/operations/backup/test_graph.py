"""An exported graph comes back equal in a real Neo4j, whatever its values."""

import neo4j
import pytest
from neo4j import spatial, time

from include.operations.backup.graph import Graph, digest_of, export, read_back
from include.operations.backup.graph_restore import restore
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
    run("UNWIND range(1, 6000) AS i CREATE (:Person {id: i, x: i / 3.0})")
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


def test_round_trip(graph):
    fill(graph)
    content, data = exported(graph)
    before = schema(graph)
    assert (content["nodes"].rows, content["relationships"].rows) == (6_003, 9_000)
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
