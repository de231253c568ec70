"""A DAG file that cannot be imported: from Airflow's own listener manager, through our plugin, to Slack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.operations.alerts import import_errors

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[4]
# What the DAG processor does when it finds a new error.
CALL = """
from airflow.listeners.listener import get_listener_manager
get_listener_manager().hook.on_new_dag_import_error(
    filename="/srv/dags/organism/update.py",
    stacktrace="Traceback (most recent call last):\\n  File x\\nModuleNotFoundError: No module named 'nothing'\\n",
)
"""


def test_the_plugin_tells_an_import_error_once(world, tmp_path):
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": "/srv/dags",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "-c", CALL], env=env, cwd=ROOT, check=True, timeout=120)
    world.sink.wait(lambda sink: sink.slack_messages(), timeout=60)
    # Reported again, e.g. by the watchdog: the same incident.
    world.patch.setenv("AIRFLOW__CORE__DAGS_FOLDER", "/srv/dags")
    import_errors.report("/srv/dags/organism/update.py", "")
    (event, *_) = world.rows("select * from ops.alert_event where kind = 'import_error'")
    assert event["dag_id"] == ""
    (message,) = world.slack()
    assert "organism/update.py cannot be imported: ModuleNotFoundError" in message["text"]
    assert "No module named" in str(message["blocks"])
