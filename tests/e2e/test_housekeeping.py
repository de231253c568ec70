"""`ops_housekeeping` through Airflow's own scheduler, where a task reaches the metadata only as it was given."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include.operations.airflow_api import AirflowApi
from local.layout import ROOT
from local.testing import AirflowSystem

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
DAG = "ops_housekeeping"
OLD = datetime.now(UTC) - timedelta(days=100)


def metadata(system: AirflowSystem) -> psycopg.Connection:
    """As the owner of Airflow's tables."""
    address = system.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
    return psycopg.connect(f"postgresql://{address}")


def test_a_night(airflow_system: AirflowSystem) -> None:
    with metadata(airflow_system) as connection:
        connection.execute("insert into log (dttm, event) values (%s, 'long ago')", [OLD])
    with psycopg.connect(airflow_system.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
        connection.execute(
            "insert into ops.workflow_stats (grain, bucket, dag_id) values ('hour', date_trunc('hour', now()), '*') "
            "on conflict do nothing"
        )
        connection.execute(
            "insert into organism.roster_rejection (run_id, row_number, field, code, reason, created_at) "
            "values ('long ago', 1, 'id', 'c', 'w', %s) on conflict do nothing",
            [OLD],
        )
    logs = airflow_system.state_dir / "airflow" / "logs"
    old_log = logs / "dag_id=gone" / "run_id=gone" / "task_id=t" / "attempt=1.log"
    old_log.parent.mkdir(parents=True, exist_ok=True)
    old_log.touch()
    os.utime(old_log, (OLD.timestamp(),) * 2)

    api = AirflowApi.from_environment(airflow_system.env)
    run = api.wait(api.trigger(DAG), timeout=500)
    tasks = {task.task_id: (task.state, task.tries) for task in api.task_instances(run)}
    assert set(tasks.values()) == {("success", 1)}, tasks
    assert len(tasks) == 12

    with metadata(airflow_system) as connection:
        assert connection.execute("select count(*) from log where event = 'long ago'").fetchone() == (0,)
        archives = connection.execute("select 1 from pg_class where starts_with(relname, '_airflow_deleted__')")
        assert archives.fetchone() is None
    with psycopg.connect(airflow_system.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
        rows = connection.execute("select count(*) from organism.roster_rejection where run_id = 'long ago'")
        assert rows.fetchone() == (0,)
        backups = connection.execute("select source, checked_at, restore_s from ops.backup").fetchall()
    assert {source for source, *_ in backups} == {"metadata", "warehouse", "graph"}
    assert all(checked for _, checked, _ in backups)
    assert {source for source, _, seconds in backups if seconds} == {"metadata", "warehouse"}
    assert not old_log.exists()
    # The log of the run that did it is there.
    assert list((logs / f"dag_id={DAG}").rglob("attempt=1.log"))

    listed = subprocess.run(
        [sys.executable, "-m", "include.cli", "backup", "list"],
        cwd=ROOT,
        env=os.environ | airflow_system.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "never" not in listed.stdout
