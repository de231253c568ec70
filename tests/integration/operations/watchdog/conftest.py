"""Airflow's metadata and the warehouse as the watchdog meets them, with rows of the test's making and its clock."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include.operations.metadata import metadata
from include.operations.watchdog.metadata_checks import CHECKS, Metadata
from include.operations.watchdog.thresholds import THRESHOLDS
from tests.cli_runner import cli
from tests.integration.operations.conftest import copy_of

__all__ = ["cli"]

NOW = datetime(2026, 2, 28, 23, 58, tzinfo=UTC)


class Airflow:
    """Writes into Airflow's tables what Airflow would have written; reads through the watchdog's own role."""

    def __init__(self, connection):
        self.connection = connection
        self.now = NOW
        # Rows of tables that nobody here looks at need not be there.
        connection.execute("set session_replication_role = replica")

    def ago(self, **length):
        return self.now - timedelta(**length)

    def insert(self, table, **values):
        names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
        self.connection.execute(f"insert into {table} ({names}) values ({marks})", values)

    def dag(self, dag_id, **values):
        given = {
            "dag_id": dag_id,
            "is_paused": False,
            "is_stale": False,
            "bundle_name": "dags-folder",
            "timetable_type": "airflow.timetables.trigger.CronTriggerTimetable",
            "partition_mapper_info": "{}",
            "max_active_tasks": 16,
            "max_active_runs": 1,
            "max_consecutive_failed_dag_runs": 0,
            "has_task_concurrency_limits": False,
            "next_dagrun_create_after": self.now + timedelta(minutes=2),
        }
        self.insert("dag", **given | values)

    def run(self, dag_id, run_id, start=None, end=None, state="success", **values):
        after = start or values.get("run_after") or self.now
        given = {"run_type": "scheduled", "clear_number": 0, "context_carrier": "{}", "conf": "{}"}
        given |= {
            "run_after": after,
            "logical_date": None,
            "queued_at": after,
            "created_at": after,
            "updated_at": after,
        }
        self.insert(
            "dag_run", dag_id=dag_id, run_id=run_id, start_date=start, end_date=end, state=state, **given | values
        )

    def task(self, dag_id, run_id, task_id, start=None, end=None, state="success", *, history=False, **values):
        given = {"map_index": -1, "try_number": 1, "max_tries": 3, "pool": "default_pool", "pool_slots": 1}
        given |= {"hostname": "h", "context_carrier": "{}", "queue": "default"}
        if not history:
            given["last_heartbeat_at"] = end or (self.now if start else None)
        table, key = ("task_instance_history", "task_instance_id") if history else ("task_instance", "id")
        names = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "start_date": start, "end_date": end}
        values = names | {"state": state} | given | values
        columns, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
        self.connection.execute(f"insert into {table} ({key}, {columns}) values (gen_random_uuid(), {marks})", values)

    def event(self, dag_id, run_id, task_id, event, try_number=1):
        place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": -1, "try_number": try_number}
        self.insert("log", dttm=self.now, event=event, **place)

    def job(self, kind, heartbeat, state="running"):
        self.insert("job", job_type=kind, state=state, start_date=heartbeat, latest_heartbeat=heartbeat, hostname="h")

    def alive(self):
        for kind in ("SchedulerJob", "DagProcessorJob", "TriggererJob"):
            self.job(kind, self.now - timedelta(seconds=4))

    def read(self, name, **changed):
        """Readings of one function of the watchdog, by (check, subject)."""
        with metadata() as connection:
            found = list(CHECKS[name][0](Metadata(connection, self.now, {**THRESHOLDS, **changed})))
        return {(each.check, each.subject): each for each in found}


TABLES = ("dag", "dag_run", "task_instance", "task_instance_history", "log", "job", "import_error")


@pytest.fixture(scope="module")
def metadata_urls(postgres_server, metadata_template):
    """Addresses of a metadata database: of its superuser, and of the read-only role."""
    made = copy_of(postgres_server, metadata_template, "metadata_watchdog", "airflow")
    return made.admin_url, postgres_server.ensure_metadata_reader("metadata_watchdog")


@pytest.fixture
def airflow(metadata_urls, monkeypatch):
    """An empty Airflow."""
    admin, reader = metadata_urls
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", reader.replace("postgresql://", "postgres://"))
    with psycopg.connect(admin, autocommit=True) as connection:
        made = Airflow(connection)
        for table in TABLES:
            connection.execute(f"delete from {table}")
        yield made
