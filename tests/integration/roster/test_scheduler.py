"""The DAG through Airflow's own scheduler, started and judged by the command line; the graph is read back."""

import json
import os
import subprocess
import sys

import psycopg
import pytest

from local.layout import ROOT
from tests.cli_runner import cli
from tests.faults.world import open_clients

__all__ = ["cli"]
pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
DAG = "organism_load_roster"


@pytest.fixture
def system(airflow_system, monkeypatch):
    for name, value in airflow_system.env.items():
        if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_API_", "AIRFLOW__CORE__FERNET", "AIRFLOW__API_AUTH__")):
            monkeypatch.setenv(name, value)
    return airflow_system


def load(cli, **conf):
    return cli("trigger", DAG, "--conf", json.dumps(conf), "--wait", "--timeout", "240")


def test_a_roster_is_loaded_and_its_bad_row_is_reported(cli, system, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("id,name,team,manager_id,opted_out\nroster_a,Ann,Sales,,no\nroster_b,Bob,Sales,roster_a,perhaps\n")
    done = load(cli, path=str(path))
    assert done.code == 0, done.err
    run = done.out.split()[1].rstrip(":")
    env = system.env
    with open_clients(env["AIRFLOW_CONN_ORGANISM_REDIS"], env["AIRFLOW_CONN_ORGANISM_NEO4J"]) as clients:
        records, _, _ = clients.driver.execute_query(
            "MATCH (e:Employee) WHERE e.id STARTS WITH 'roster_' RETURN e.id AS id, e.name AS name, e.opted_out AS out"
        )
    assert [record.data() for record in records] == [{"id": "roster_a", "name": "Ann", "out": False}]
    with psycopg.connect(env["AIRFLOW_CONN_WAREHOUSE"].replace("postgres://", "postgresql://")) as connection:
        rows = connection.execute(
            "select row_number, field, code from organism.roster_rejection where run_id = %s", [run]
        )
        assert rows.fetchall() == [(3, "opted_out", "bad_flag")]
    result = system.api.get(
        f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/load_roster/xcomEntries/return_value"
    ).json()
    assert "Ann" not in json.dumps(result)


def test_a_roster_nobody_can_use_fails_at_once_and_names_the_task(cli, system):
    done = load(cli, inline="id,on_leave\nroster_c,perhaps\n")
    assert done.code == 1
    assert "load_roster (failed after try 1)" in done.err


def test_params_are_checked_before_a_run_begins(cli, system):
    done = load(cli, dry_run="perhaps")
    assert (done.code, done.out) == (1, "")
    assert "dry_run" in done.err or "boolean" in done.err


def test_the_whole_system_is_listed_and_healthy(cli, system):
    listed = cli("dags", "list")
    assert listed.code == 0
    assert {"organism_load_roster", "organism_incremental_update"} <= {
        line.split()[0] for line in listed.out.splitlines()
    }
    assert "import error" not in listed.out
    # In a process of its own: the doctor examines all of the system's variables.
    command = [sys.executable, "-m", "include.cli", "doctor", "--json"]
    examined = subprocess.run(
        command, env=os.environ | system.env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert examined.returncode == 0, examined.stdout + examined.stderr
