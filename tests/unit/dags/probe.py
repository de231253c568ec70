"""Parses DAG files as Airflow does, in a process of its own, and prints what it saw as JSON.

Run as `python probe.py DAG_FOLDER...`. Each file is parsed in a forked child, so that it pays for its own imports,
under an audit hook that refuses what a DAG file must not do when merely read: network, processes, writing files.
"""

import contextlib
import functools
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

HEAVY = {
    *("redis", "neo4j", "psycopg", "psycopg2", "sqlalchemy", "alembic"),
    *("pandas", "numpy", "networkx", "scipy", "sklearn", "pyarrow"),
    *("httpx", "requests", "google", "simple_salesforce", "slack_sdk"),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND


class TopLevelWork(BaseException):
    """Not an Exception, so that a DAG file that catches those goes no further."""


class Watch:
    """Refuses work and remembers it; an audit hook cannot be removed, so it is switched."""

    def __init__(self):
        self.on = False
        self.refused = []

    def refuse(self, what):
        self.refused.append(what)
        raise TopLevelWork(what)

    def refuse_call(self, what, *_arguments, **_fields):
        self.refuse(what)

    def hook(self, event, args):
        if not self.on:
            return
        if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec"}:
            self.refuse(event)
        # A number is a file that is open already. Python itself writes byte code.
        if event == "open" and args[2] & WRITING and not isinstance(args[0], int) and "__pycache__" not in str(args[0]):
            self.refuse(f"writing {args[0]}")


watch = Watch()
sys.addaudithook(watch.hook)


def refuse_secrets():
    """Reading a Variable or a Connection while parsing asks the database or a secrets backend, every 30 seconds."""
    from airflow.sdk import Connection, Variable

    for kind in (Variable, Connection):
        kind.get = functools.partial(watch.refuse_call, f"reading a {kind.__name__}")


def parse(file, folder):
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.dag_version_inflation_checker import check_dag_file_stability

    bag = DagBag(dag_folder=os.devnull, bundle_path=folder, collect_dags=False)
    refuse_secrets()
    before = set(sys.modules)
    started = time.process_time()
    watch.on = True
    with contextlib.suppress(TopLevelWork):
        bag.process_file(str(file), only_if_updated=False)
    watch.on = False
    seconds = time.process_time() - started
    imported = {name.partition(".")[0] for name in set(sys.modules) - before}
    return {
        "errors": list(bag.import_errors.values()),
        "work": watch.refused,
        "seconds": seconds,
        "heavy": sorted(imported & HEAVY),
        "varying": check_dag_file_stability(str(file)).format_warnings(),
        "dags": [
            dag_facts(dag) | {"hash": SerializedDagModel.hash(DagSerialization.to_dict(dag))}
            for dag in bag.dags.values()
        ],
    }


def dag_facts(dag):
    return {
        "dag_id": dag.dag_id,
        "tags": sorted(dag.tags),
        "doc": dag.doc_md or "",
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "run_timeout": dag.dagrun_timeout.total_seconds() if dag.dagrun_timeout else None,
        "on_failure": callbacks(dag.on_failure_callback),
        "on_success": callbacks(dag.on_success_callback),
        "params": {name: param_facts(dag.params.get_param(name)) for name in dag.params},
        "tasks": [task_facts(task) for task in dag.tasks],
    }


def param_facts(param):
    return {"schema": param.schema, "description": param.description or ""}


def task_facts(task):
    policy = getattr(task, "retry_policy", None)
    return {
        "task_id": task.task_id,
        "owner": task.owner,
        "retries": task.retries,
        "policy": f"{type(policy).__module__}.{type(policy).__qualname__}",
        "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
        "on_failure": callbacks(task.on_failure_callback),
        "bare": is_bare(task),
    }


def is_bare(task):
    """Whether a function runs without what `resilient` puts around it; operators of Airflow have none."""
    function = getattr(task, "python_callable", None)
    return function is not None and not getattr(function, "is_resilient", False)


def callbacks(value):
    each = value if isinstance(value, list | tuple) else [value] if value else []
    return [f"{one.__module__}.{one.__qualname__}" for one in each]


def in_child(file, folder):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            found = parse(file, folder)
        except BaseException:  # noqa: BLE001 - whatever it was, the parent must hear of it
            found = {"crash": traceback.format_exc()}
        with os.fdopen(write, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = json.load(pipe)
    os.waitpid(child, 0)
    return found


def main():
    folders = [Path(name).resolve() for name in sys.argv[1:]]
    # Airflow and DAG files may print; standard output is for the result alone.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        # Part of the serialised form, so it must not lie in the temporary home.
        os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(folders[0])
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        os.environ["AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL"] = "error"
        # Paid by Airflow once, not by the DAG file.
        import airflow.dag_processing.dagbag
        import airflow.sdk
        import airflow.serialization.serialized_objects  # noqa: F401

        baseline = sorted(HEAVY & {name.partition(".")[0] for name in sys.modules})
        files = {str(file): in_child(file, folder) for folder in folders for file in sorted(folder.rglob("*.py"))}
    with output:
        json.dump({"baseline": baseline, "files": files}, output)


if __name__ == "__main__":
    main()
