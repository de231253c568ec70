"""`ops_statistics` through the real scheduler: the read-only role, the roll-up, and a digest at the simulators."""

from __future__ import annotations

import psycopg
import pytest

from benchmarks.recount import recount, stored
from include.operations.airflow_api import AirflowApi
from local.simulators.testing import AlertSink
from local.testing import AirflowSystem

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
DAG = "ops_statistics"


def test_runs_are_counted_and_a_digest_arrives(airflow_system: AirflowSystem) -> None:
    env = airflow_system.env
    metadata = "postgresql://" + env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
    sink = AlertSink.attach(env)
    with AirflowApi.from_environment(env) as api:
        first = api.wait(api.trigger(DAG), timeout=300)
        before = recount(metadata)
        assert "digest_now" in api.params(DAG)
        second = api.wait(api.trigger(DAG, {"digest_now": True}), timeout=300)
        assert [first.state, second.state] == ["success", "success"]
        assert api.xcom(second, "roll_up")["rows_out"] > 0
    counted = stored(env["AIRFLOW_CONN_WAREHOUSE"])
    mine = {bucket: row for (grain, bucket, dag_id), row in counted.items() if (grain, dag_id) == ("hour", DAG)}
    # All that had happened before the second run began; other runs may have ended meanwhile.
    for (grain, bucket, dag_id), row in before.items():
        if (grain, dag_id) == ("hour", DAG):
            assert mine[bucket][:3] >= row[:3]
            assert mine[bucket][3] >= row[3]
    assert sum(row[1] for row in mine.values()) >= 1
    assert any("runs successful" in mail["subject"] for mail in sink.emails())
    with psycopg.connect(metadata) as connection:
        query = "select rolsuper, rolcreaterole from pg_roles where rolname = 'airflow_reader'"
        assert connection.execute(query).fetchone() == (False, False)
    assert "airflow_reader" in env["AIRFLOW_CONN_AIRFLOW_METADATA"]
