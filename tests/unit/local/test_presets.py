"""A variable that is set beforehand wins, unless it comes from our own `.local/env`."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import envfile
from local.airflow import AirflowHome
from local.files import Secrets
from local.presets import GIVEN, METADATA, NEO4J, REDIS, WAREHOUSE, Presets
from local.simulators.settings import ACTIONS, SLACK
from local.system import LocalSystem


def test_nothing_set_replaces_nothing(tmp_path: Path) -> None:
    found = Presets(tmp_path, {"PATH": "/bin", REDIS: ""})
    assert [found.replaces(server) for server in ("postgres", "redis", "neo4j")] == ["", "", ""]


def test_each_connection_replaces_its_server(tmp_path: Path) -> None:
    found = Presets(tmp_path, {REDIS: "redis://there/0", NEO4J: "neo4j://there"})
    assert found.replaces("redis") == REDIS
    assert found.replaces("neo4j") == NEO4J
    assert found.get(REDIS) == "redis://there/0"


def test_postgres_is_needed_until_both_databases_are_elsewhere(tmp_path: Path) -> None:
    assert Presets(tmp_path, {WAREHOUSE: "postgres://there/w"}).replaces("postgres") == ""
    both = {WAREHOUSE: "postgres://there/w", METADATA: "postgresql+psycopg2://there/a"}
    assert Presets(tmp_path, both).replaces("postgres") == f"{METADATA} and {WAREHOUSE}"


def test_our_own_variables_are_no_presets(tmp_path: Path) -> None:
    ours = {REDIS: "redis://:x@127.0.0.1:1/0", "AIRFLOW__CORE__PARALLELISM": "4", "LOCAL_STATE_DIR": str(tmp_path)}
    envfile.write(tmp_path / "env", ours)
    assert Presets(tmp_path, ours).settings == {}
    assert Presets(tmp_path, ours).replaces("redis") == ""
    assert Presets(tmp_path, ours | {REDIS: "redis://mine/0"}).replaces("redis") == REDIS
    # The same values without our mark were exported by the user.
    unmarked = {name: value for name, value in ours.items() if name != "LOCAL_STATE_DIR"}
    assert Presets(tmp_path, unmarked).settings == {"AIRFLOW__CORE__PARALLELISM": "4"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (REDIS, "redis://127.0.0.1:6398/0"),
        (NEO4J, "neo4j://neo4j:mine@127.0.0.1:7699"),
        (WAREHOUSE, '{"conn_type": "postgres", "host": "there", "schema": "w"}'),
        (METADATA, "postgresql+psycopg2://there/a"),
        (SLACK, "slack://:mine@/?channel=%23alerts"),
        ("AIRFLOW_CONN_SALESFORCE", "x"),
        ("AIRFLOW__CORE__PARALLELISM", "9"),
        ("ORGANISM_STREAM", "mine"),
        ("BACKUP_DIR", "/mine"),
    ],
)
def test_the_users_own_values_stay_theirs_in_a_shell_that_sourced_them(tmp_path: Path, name: str, value: str) -> None:
    environ = {name: value}
    for _ in range(3):
        system = LocalSystem(tmp_path, usual_ports=False, environ=environ)
        envfile.write(system.env_file, system.variables())
        environ = envfile.read(system.env_file)
        assert environ[name] == value
        assert environ[GIVEN] == name, "all others are ours"
    # Taken out of the shell's environment, it is gone.
    system = LocalSystem(tmp_path, usual_ports=False, environ={k: v for k, v in environ.items() if k != name})
    assert system.variables()[GIVEN] == ""
    assert system.variables().get(name) != value


def test_a_sourced_shell_changes_nothing_when_all_is_ours(tmp_path: Path) -> None:
    first = LocalSystem(tmp_path, usual_ports=False, environ={})
    envfile.write(first.env_file, first.variables())
    again = LocalSystem(tmp_path, usual_ports=False, environ=envfile.read(first.env_file))
    assert again.variables() == first.variables()
    assert not again.external


def test_a_warehouse_alone_is_used_and_the_embedded_postgres_serves_airflow(tmp_path: Path) -> None:
    mine = "postgres://me:secret@there/w"
    system = LocalSystem(tmp_path, usual_ports=False, environ={WAREHOUSE: mine})
    assert system.variables()[WAREHOUSE] == mine
    assert "@127.0.0.1:" in system.variables()[METADATA]
    assert "postgres" in {part.name for part in system.parts}


def test_an_old_copy_of_our_variables_is_known_by_its_password(tmp_path: Path) -> None:
    password = Secrets(tmp_path).get("redis")
    assert Presets(tmp_path, {REDIS: f"redis://:{password}@127.0.0.1:9999/0"}).replaces("redis") == ""


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({}, "review"),
        ({"INTERVENTION_MODE": "shadow"}, "shadow"),
        ({NEO4J: "neo4j://neo4j:x@there"}, None),
        ({WAREHOUSE: "postgres://me:x@there/w"}, None),
        ({ACTIONS: "http://:x@there"}, None),
    ],
)
def test_what_is_approved_is_done_only_where_everything_it_touches_is_ours(
    tmp_path: Path, environ: dict[str, str], mode: str | None
) -> None:
    variables = LocalSystem(tmp_path, usual_ports=False, environ=environ).variables()
    assert variables.get("INTERVENTION_MODE") == mode
    assert variables["INTERVENTION_APPROVERS"] == "admin"


def test_other_connections_are_passed_on(tmp_path: Path) -> None:
    assert Presets(tmp_path, {"AIRFLOW_CONN_SALESFORCE": "x"}).connections == {"AIRFLOW_CONN_SALESFORCE": "x"}


def test_a_user_may_tune_but_not_redirect_airflow(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path, Path("/repository"), usual_port=False)
    preset = {"AIRFLOW__CORE__PARALLELISM": "9", "AIRFLOW__CORE__DAGS_FOLDER": "/elsewhere"}
    settings = home.settings("postgresql+psycopg2://x", preset)
    assert settings["AIRFLOW__CORE__PARALLELISM"] == "9"
    assert settings["AIRFLOW__CORE__DAGS_FOLDER"] == "/repository/dags"
    assert len(settings["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert settings["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{home.url}/execution/"
    assert home.settings("postgresql+psycopg2://x", preset) == settings, "generated keys are kept"
