"""Publishing a file again changes nothing in the graph: that is what makes every retry safe."""

import pytest

from include.organism.settings import Settings
from tests.faults.world import open_clients, run_steps

pytestmark = pytest.mark.servers


def edges(clients):
    records, _, _ = clients.driver.execute_query(
        "MATCH (a:Employee)-[r:INTERACTS]->(b) RETURN a.id AS a, b.id AS b, r {.*} AS r ORDER BY a, b"
    )
    return [record.data() for record in records]


@pytest.mark.parametrize("again", [(), ("--until", "now"), ("--skip", "100")])
def test_twice_is_once(cli, stream, redis_server, neo4j_server, tmp_path, again):
    path = tmp_path / "mail.txt"
    path.write_text("".join(f"p{n % 17} p{n % 13} {n * 11}\n" for n in range(300)))
    settings = Settings(stream=stream)
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        clients.driver.execute_query("MATCH (n) DETACH DELETE n")
        assert cli("interactions", "publish", path).code == 0
        first = run_steps(clients, settings, "run-1")["update"]
        before = edges(clients)
        assert (first["read"], first["duplicates"], first["dead"]) == (300, 0, 0)
        assert before
        assert cli("interactions", "publish", path, *again).code == 0
        second = run_steps(clients, settings, "run-2")["update"]
        assert (second["written"], second["duplicates"]) == (0, 200 if "--skip" in again else 300)
        assert edges(clients) == before
