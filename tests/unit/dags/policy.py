"""The rules every DAG of this repository keeps, as complaints about what the probe saw."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from include.operations.alerts.failures import impact_of
from include.operations.callbacks import report_failure, report_success
from include.operations.dag_defaults import ALLOWED_TAGS, DOMAINS
from include.operations.retry import ClassRetryPolicy

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "dags"
PROBE = Path(__file__).with_name("probe.py")
MAX_LINES = 60
# Seconds of CPU, so that a loaded machine does not fail the test. Every task's process parses its file anew.
PARSE_BUDGET = 1.0
MAX_RUNS = 4
# Its runs wait for people, without a worker.
MANY_RUNS = {"organism_intervention_review": 100}
POLICY = f"{ClassRetryPolicy.__module__}.{ClassRetryPolicy.__qualname__}"
CALLBACK = f"{report_failure.__module__}.{report_failure.__qualname__}"
ON_SUCCESS = f"{report_success.__module__}.{report_success.__qualname__}"


def probe(*folders, seed):
    """Parse the folders in a process of its own; `seed` varies the order of sets there. By file: what was seen."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, str(PROBE), *map(str, folders)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hashes(result, folder):
    """By DAG id: Airflow's hash of the serialised form, which makes a new version when it changes."""
    files = (seen for name, seen in result["files"].items() if Path(name).is_relative_to(folder))
    return {dag["dag_id"]: dag["hash"] for seen in files for dag in seen["dags"]}


def complaints(result, folder, name):
    """What is wrong with one DAG file; an empty list when nothing is."""
    seen, source = result["files"][str(folder / name)], (folder / name).read_text()
    if "crash" in seen:
        return [f"the parser crashed: {seen['crash']}"]
    found = [f"import error: {text}" for text in seen["errors"]]
    found += [f"works at the top level: {what}" for what in seen["work"]]
    found += [f"imports {', '.join(seen['heavy'])} at the top level"] if seen["heavy"] else []
    found += [f"varies between parses: {seen['varying']}"] if seen["varying"] else []
    if seen["seconds"] > PARSE_BUDGET:
        found.append(f"takes {seen['seconds']:.2f} s of CPU to parse, allowed are {PARSE_BUDGET}")
    if (lines := len(source.splitlines())) > MAX_LINES:
        found.append(f"has {lines} lines, allowed are {MAX_LINES}: move work to include/")
    if not seen["dags"] and not found:
        found.append("defines no DAG")
    docstring = ast.get_docstring(ast.parse(source), clean=False)
    # A file that makes several DAGs from declarations gives each a text of its own.
    made = len(seen["dags"]) > 1
    for dag in seen["dags"]:
        found += [f"{dag['dag_id']}: {text}" for text in _dag(dag, Path(name).parts[0], None if made else docstring)]
    return found


def _dag(dag, domain, docstring):
    if not dag["doc"].strip() or (docstring is not None and dag["doc"] != docstring):
        yield "doc_md is not the module's docstring"
    if not impact_of(dag["doc"]):
        yield "its docstring does not say what it means `When a run fails, ...`: alerts show that"
    if unknown := set(dag["tags"]) - ALLOWED_TAGS:
        yield f"tags {sorted(unknown)} are not allowed"
    if DOMAINS & set(dag["tags"]) != {domain}:
        yield f"must carry the tag of its folder, {domain}, and of no other domain"
    yield from _runs(dag)
    for name, param in dag["params"].items():
        if "type" not in param["schema"] and "enum" not in param["schema"]:
            yield f"param {name} has no JSON schema type"
        if not param["description"]:
            yield f"param {name} has no description"
    if not dag["tasks"]:
        yield "has no task"
    for task in dag["tasks"]:
        for text in _task(task):
            yield f"{task['task_id']}: {text}"


def _runs(dag):
    if dag["catchup"]:
        yield "catchup is on"
    most = MANY_RUNS.get(dag["dag_id"], MAX_RUNS)
    if not 1 <= dag["max_active_runs"] <= most:
        yield f"max_active_runs {dag['max_active_runs']} is not set to 1-{most}"
    if not dag["run_timeout"]:
        yield "has no dagrun_timeout"
    if CALLBACK not in dag["on_failure"]:
        yield "has no failure callback of the run"
    if ON_SUCCESS not in dag["on_success"]:
        yield "has no success callback of the run"


def _task(task):
    if not task["owner"] or task["owner"] == "airflow":
        yield "has no owner"
    if not 1 <= task["retries"] <= 5:
        yield f"retries {task['retries']} is not 1-5"
    if task["policy"] != POLICY:
        yield f"retry_policy is {task['policy']}"
    if task["bare"]:
        yield "is no resilient_task"
    if not task["timeout"]:
        yield "has no execution_timeout"
    if CALLBACK not in task["on_failure"]:
        yield "has no failure callback"
