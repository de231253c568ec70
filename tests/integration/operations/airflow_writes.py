"""Let Airflow's own code write what statistics have to read: python airflow_writes.py FOLDER.

Of one run, each task has begun its first try; then a scheduler is found dead, a process is killed, a person clears
tasks that succeeded, failed and run. No process runs: the states are set, and Airflow's functions do the rest.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.executors.base_executor import BaseExecutor
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dagbag import DBDagBag
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

# State of the first try, and the event of its end that the execution API writes.
FIRST_TRIES = {
    "lost": ("running", None),
    "killed": ("running", None),
    "cleared_success": ("success", "success"),
    "cleared_failure": ("failed", "failed"),
    "cleared_running": ("running", None),
}
DAG = f"""
from datetime import UTC, datetime
from airflow.sdk import dag, task

@dag(dag_id="d", schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC))
def d():
    for name in {list(FIRST_TRIES)!r}:
        task(task_id=name, retries=3)(lambda: None)()
d()
"""


class Executor(BaseExecutor):
    """Says how processes have ended."""

    def __init__(self, ended):
        super().__init__()
        self.event_buffer = {key: (state, None) for key, state in ended.items()}


def main(folder):
    """Write it all; the second tries begin an hour after the first."""
    (folder / "d.py").write_text(DAG)
    first = datetime.now(UTC).replace(minute=5) - timedelta(hours=3)
    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
        session.commit()
        sync_bag_to_db(DagBag(dag_folder=str(folder)), "dags-folder", None, session=session)
        session.commit()
        dags = DBDagBag()
        dags.get_latest_version_of_dag("d", session=session).create_dagrun(
            run_id="r",
            run_after=first,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            start_date=first,
            session=session,
        )
        dead, alive = (Job(job_type="SchedulerJob", state=state) for state in ("failed", "running"))
        session.add_all([dead, alive])
        session.flush()
        tries = {each.task_id: each for each in session.scalars(select(TaskInstance))}
        for name, (state, event) in FIRST_TRIES.items():
            each = tries[name]
            each.state, each.try_number, each.start_date = TaskInstanceState(state), 1, first
            each.end_date = None if state == "running" else first
            each.queued_by_job_id = dead.id if name == "lost" else alive.id
            session.add_all([Log(event=kind, task_instance=each.key) for kind in ("running", event) if kind])
        session.commit()
        clear_task_instances([tries[name] for name in tries if name.startswith("cleared")], session)
        session.commit()
        ended = {tries["killed"].key: "failed", tries["cleared_running"].key: "success"}
        SchedulerJobRunner.process_executor_events(
            executor=Executor(ended), job_id=alive.id, scheduler_dag_bag=dags, session=session
        )
        session.commit()
        SchedulerJobRunner(job=Job()).adopt_or_reset_orphaned_tasks(session=session)
        session.commit()
        for each in session.scalars(select(TaskInstance)):
            each.state, each.try_number = TaskInstanceState.SUCCESS, each.try_number + 1
            each.start_date = first + timedelta(hours=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
