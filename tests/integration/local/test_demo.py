"""`make demo ONCE=1` from nothing: every pipeline through the real scheduler, a table, and nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local import demo_history, launcher
from local.layout import ROOT
from local.testing import FOREIGN

pytestmark = [pytest.mark.servers, pytest.mark.airflow, pytest.mark.timeout(600)]


def test_demo_runs_every_pipeline_and_ends(tmp_path: Path) -> None:
    state = tmp_path / "a state"
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | {"ONCE": "1"}
    command = [sys.executable, "-m", "local", "--state-dir", str(state), "demo"]
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=560)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert not launcher.is_running(state)
        lines = [line.split() for line in done.stdout.splitlines()]
        figures = {line[0]: line[1:4] for line in lines if len(line) >= 5 and re.fullmatch(r"[a-z_]+", line[0])}
        prefixes = ("organism_", "vms_", "ops_")
        assert {cells[0] for dag_id, cells in figures.items() if dag_id.startswith(prefixes)} <= {
            "success",
            "skipped",
            "waiting",
        }
        assert figures["organism_full_analysis"][0] == "success"
        assert figures["organism_intervention_review"][0] == "waiting"
        low, high = map(float, re.search(r"95 % interval (\S+) to (\S+)\), supported", done.stdout).groups())
        assert low < demo_history.EFFECT < high
        assert re.search(r"organism_full_analysis .* true \+60\.0; more below", done.stdout)
        assert re.search(r"your turn    \w+ for team \w+, expected -", done.stdout)
        rows_in, rows_out = (int(cell.replace(",", "")) for cell in figures["organism_incremental_update"][1:])
        assert rows_in > 50_000
        assert rows_out > 50_000
        assert re.search(
            r"^[\d,]+ events could not be used and wait as dead letters: `make up`", done.stdout, re.MULTILINE
        )
        assert "look around" not in done.stdout
        assert "http://127.0.0.1:" in done.stdout
        assert "alerts     http://127.0.0.1:" in done.stdout
    finally:
        launcher.stop(state)
