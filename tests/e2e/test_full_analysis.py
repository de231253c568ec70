"""The 6-hour pipeline through Airflow's own scheduler: from events in the stream to numbers people can read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import neo4j
import psycopg
import pytest
import redis

from include.operations.airflow_api import AirflowApi, Run
from local.testing import AirflowSystem

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]
PEOPLE = [f"full-{number}" for number in range(12)]
DAG = "organism_full_analysis"


class World:
    """The system and its clients."""

    def __init__(self, system: AirflowSystem) -> None:
        env = system.env
        account, _, address = env["AIRFLOW_CONN_ORGANISM_NEO4J"].removeprefix("neo4j://").partition("@")
        self.driver = neo4j.GraphDatabase.driver(f"bolt://{address}", auth=("neo4j", account.partition(":")[2]))
        self.redis = redis.Redis.from_url(env["AIRFLOW_CONN_ORGANISM_REDIS"])
        self.warehouse = env["AIRFLOW_CONN_WAREHOUSE"]
        self.api = AirflowApi.from_environment(env)
        self.system = system

    def run(self, dag_id: str) -> Run:
        run = self.api.wait(self.api.trigger(dag_id), timeout=600)
        assert run.state == "success", [(t.task_id, t.state, t.tries) for t in self.api.task_instances(run)]
        return run

    def again(self, run: Run) -> Run:
        """Clear all tasks of a run and wait for their next tries."""
        before = {task.task_id: task.tries for task in self.api.task_instances(run)}
        body = {"dry_run": False, "dag_run_id": run.run_id, "reset_dag_runs": True, "only_failed": False}
        self.system.api.post(f"/api/v2/dags/{run.dag_id}/clearTaskInstances", json=body).raise_for_status()
        deadline = time.monotonic() + 300
        while {task.task_id: task.tries for task in self.api.task_instances(run)} == before:
            assert time.monotonic() < deadline, "no second try"
            time.sleep(0.2)
        return self.api.wait(run, timeout=600)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.warehouse) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def nodes(self) -> dict[str, dict[str, Any]]:
        records, _, _ = self.driver.execute_query("MATCH (e:Employee) RETURN e.id AS id, properties(e) AS p")
        return {record["id"]: record["p"] for record in records}


@pytest.fixture(scope="module")
def world(airflow_system: AirflowSystem) -> Iterator[World]:
    world = World(airflow_system)
    yield world
    # Other files hold the shared graph to an oracle of their own events.
    world.driver.execute_query("MATCH (e:Employee) WHERE e.id IN $ids DETACH DELETE e", ids=PEOPLE)
    world.driver.close()
    world.redis.close()


def _publish(world: World) -> None:
    now = int(time.time())
    for number, source in enumerate(PEOPLE):
        for step in (1, 2, 5):
            target = PEOPLE[(number + step) % len(PEOPLE)]
            fields = {"id": f"{source}-{target}-{now}", "source": source, "target": target, "type": "calendar_event"}
            world.redis.xadd("interactions", {**fields, "timestamp": str(now - number)})


def test_events_become_metrics_and_a_repeated_run_doubles_nothing(world: World) -> None:
    _publish(world)
    world.run("organism_incremental_update")
    run = world.run(DAG)
    table = {row[0]: row[1:] for row in world.rows(
        "select employee_id, betweenness_centrality, clustering_coefficient, measured_at from organism.current_metrics"
    )}  # fmt: skip
    nodes = world.nodes()
    # Other tests share the graph; some of their people have opted out.
    assert set(PEOPLE) <= table.keys() <= nodes.keys()
    for person, (between, clustering, measured_at) in table.items():
        assert nodes[person]["betweenness_centrality"] == between
        assert nodes[person]["clustering_coefficient"] == clustering
        assert nodes[person]["metrics_at"] == round(measured_at.timestamp() * 1000)
    assert any(table[person][0] > 0 for person in PEOPLE)
    count = "select count(*), count(distinct measured_at) from organism.employee_metrics"
    before = world.rows(count)
    assert world.again(run).state == "success"
    assert world.rows(count) == before
    manifest = world.api.xcom(run, "refresh_materialized_views")
    assert manifest["rows_out"] == len(table)
    assert not any(person in json.dumps(manifest) for person in PEOPLE)
