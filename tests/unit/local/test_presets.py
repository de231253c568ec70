"""A variable that is set beforehand wins, unless it comes from our own `.local/env`."""

from __future__ import annotations

from pathlib import Path

from local import envfile
from local.airflow import AirflowHome
from local.files import Secrets
from local.presets import METADATA, NEO4J, REDIS, WAREHOUSE, Presets


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


def test_an_old_copy_of_our_variables_is_known_by_its_password(tmp_path: Path) -> None:
    password = Secrets(tmp_path).get("redis")
    assert Presets(tmp_path, {REDIS: f"redis://:{password}@127.0.0.1:9999/0"}).replaces("redis") == ""


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
