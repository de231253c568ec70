"""DAG files that break one rule each, with the complaint they must raise."""

GOOD = '''\
"""A DAG that keeps every rule.

When a run fails, nobody minds.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task

DEFAULTS = dag_defaults(
    owner="organism",
    tags=["organism"],
    task_timeout=timedelta(minutes=1),
    run_timeout=timedelta(minutes=5),
)
PARAMS = {"limit": Param(5, type="integer", description="How many")}


@dag(dag_id="d", schedule=None, doc_md=__doc__, params=PARAMS, **DEFAULTS)
def build():
    @resilient_task
    def work():
        return 1

    work()


build()
'''


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def before_build(line):
    return changed("\n\nbuild()", f"\n\n{line}\nbuild()")


BAD = {
    "import_error": (changed("timedelta\n\n", "timedelta\n\nimport nowhere\n"), "import error"),
    "no_doc": (changed("doc_md=__doc__, ", ""), "doc_md is not the module's docstring"),
    "other_doc": (changed("doc_md=__doc__", 'doc_md="short"'), "doc_md is not the module's docstring"),
    "tag": (
        changed("schedule=None", "schedule=None, **{**DEFAULTS, 'tags': ['organism', 'misc']}").replace(
            ", **DEFAULTS)", ")"
        ),
        "tags ['misc'] are not allowed",
    ),
    "domain": (changed('tags=["organism"]', 'tags=["vms"]'), "must carry the tag of its folder, organism"),
    "impact": (changed("When a run fails, nobody minds.", "It may fail."), "does not say what it means"),
    "catchup": (changed("**DEFAULTS", "**{**DEFAULTS, 'catchup': True}"), "catchup is on"),
    "runs": (changed("**DEFAULTS", "**{**DEFAULTS, 'max_active_runs': 16}"), "max_active_runs 16"),
    "no_run_timeout": (changed("**DEFAULTS", "**{**DEFAULTS, 'dagrun_timeout': None}"), "has no dagrun_timeout"),
    "no_dag_callback": (
        changed("**DEFAULTS", "**{**DEFAULTS, 'on_failure_callback': None}"),
        "has no failure callback of the run",
    ),
    "no_success_callback": (
        changed("**DEFAULTS", "**{**DEFAULTS, 'on_success_callback': None}"),
        "has no success callback of the run",
    ),
    "no_defaults": (changed("**DEFAULTS", "**{**DEFAULTS, 'default_args': {}}"), "work: has no owner"),
    "retries": (changed("@resilient_task\n", "@resilient_task(retries=0)\n"), "work: retries 0"),
    "policy": (
        changed("@resilient_task\n", "@resilient_task(retry_policy=None)\n"),
        "work: retry_policy is builtins.NoneType",
    ),
    "no_timeout": (
        changed("@resilient_task\n", "@resilient_task(execution_timeout=None)\n"),
        "work: has no execution_timeout",
    ),
    "bare": (changed("@resilient_task\n", "@__import__('airflow.sdk').sdk.task\n"), "work: is no resilient_task"),
    "no_callback": (
        changed("@resilient_task\n", "@resilient_task(on_failure_callback=None)\n"),
        "work: has no failure callback",
    ),
    "param_type": (changed('type="integer", ', ""), "param limit has no JSON schema type"),
    "param_text": (changed(', description="How many"', ""), "param limit has no description"),
    "no_task": (changed("    work()\n", "    pass\n"), "has no task"),
    "long": (GOOD + "# more\n" * 60, "allowed are 60"),
    "empty": ('"""airflow dag."""\n', "defines no DAG"),
    "heavy": (before_build("import networkx"), "imports networkx"),
    "network": (
        before_build("import socket; socket.create_connection(('127.0.0.1', 9))"),
        "socket.getaddrinfo",
    ),
    "hidden_network": (
        before_build("try:\n    __import__('socket').socket().connect(('127.0.0.1', 9))\nexcept Exception:\n    pass"),
        "socket.connect",
    ),
    "process": (before_build("import subprocess; subprocess.run(['true'])"), "subprocess.Popen"),
    "writing": (before_build("open('/tmp/written-by-a-dag', 'w').close()"), "works at the top level: writing"),
    "variable": (before_build("from airflow.sdk import Variable; Variable.get('x')"), "reading a Variable"),
    "slow": (
        before_build("import time; end = time.process_time() + 1.2\nwhile time.process_time() < end: pass"),
        "of CPU",
    ),
    "now": (
        changed("schedule=None", "schedule=None, description=str(datetime.now())").replace(
            "import timedelta", "import datetime, timedelta"
        ),
        "varies between parses",
    ),
}

# Passes every rule but the one that needs two parses.
UNSTABLE = changed("schedule=None", "schedule=None, description=str(object())")
