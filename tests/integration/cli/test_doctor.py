"""`doctor` on real servers: each thing that is wrong is found, named and given a fix."""

import json

import pytest
import redis as redis_py

from include.operations.doctor import alert_channels, backups, installation, salesforce, servers
from include.operations.watchdog.thresholds import THRESHOLDS
from include.warehouse import schema
from local.airflow import TUNABLE
from tests.faults.world import open_clients, run_steps

pytestmark = pytest.mark.servers


@pytest.fixture
def system(cli, redis_server, neo4j_server, postgres_server, monkeypatch, settings):
    """A healthy system; call it to examine it."""
    url = postgres_server.create_database("doctor_test")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "k" * 43 + "=")
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "x" * 64)
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
    for name, value in TUNABLE.items():
        monkeypatch.setenv(name, value)
    # Their own tests hold them; here they would only take time, and the disk is not ours.
    monkeypatch.setattr(installation, "dags", lambda: iter(()))
    monkeypatch.setattr(installation, "disk", lambda: iter(()))
    monkeypatch.setattr(servers, "check_metadata", lambda _: iter(()))
    monkeypatch.setattr(alert_channels, "check", lambda: iter(()))
    monkeypatch.setattr(backups, "check", lambda: iter(()))
    monkeypatch.setattr(salesforce, "check", lambda _: iter(()))
    schema.upgrade()
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        run_steps(clients, settings, "run-1")

    def examine():
        done = cli("doctor", "--json")
        answer = json.loads(done.out)
        assert answer["ok"] == (done.code == 0)
        return {(item["level"], item["area"]): item for item in answer["findings"] if item["level"] != "ok"}

    return examine


@pytest.fixture
def server(redis_server):
    with redis_py.Redis.from_url(redis_server.url) as client:
        yield client


def only(found):
    (item,) = found.values()
    assert item["fix"]
    return item


def test_a_healthy_system_has_nothing_to_say(system, cli):
    assert system() == {}
    done = cli("doctor")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("0 failures, 0 warnings, ")
    clocks = "s apart: this machine, Redis, Neo4j, Postgres"
    for text in ("Redis 7", "Neo4j 5.26", "PostgreSQL 18", "schema at", clocks):
        assert text in done.out


def test_an_old_schema(system, cli):
    from alembic import command

    with schema._connection("warehouse") as connection:
        command.downgrade(schema.alembic_config(connection), "base")
    item = only(system())
    assert (item["level"], item["area"]) == ("fail", "warehouse")
    assert "warehouse upgrade" in item["fix"]
    shown = cli("doctor").out
    assert "fail  warehouse: schema at nothing" in shown
    assert f"      -> {item['fix']}" in shown


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("appendonly", "no", "appendonly is off"), ("maxmemory-policy", "allkeys-lru", "may drop the stream")],
)
def test_a_redis_that_may_lose_events(system, server, name, value, says):
    before = server.config_get(name)[name]
    server.config_set(name, value)
    try:
        item = only(system())
    finally:
        server.config_set(name, before)
    assert (item["level"], item["area"]) == ("warn", "organism_redis")
    assert says in item["found"]


def test_a_redis_that_is_too_old(system, monkeypatch):
    monkeypatch.setattr(redis_py.Redis, "info", lambda *_: {"redis_version": "6.2.14"})
    item = only(system())
    assert (item["level"], item["fix"]) == ("fail", "use Redis 7.0 or newer")


def test_a_neo4j_that_is_too_old(system, monkeypatch):
    monkeypatch.setattr(servers, "_MIN_NEO4J", (2099, 1))
    item = only(system())
    assert (item["level"], item["area"]) == ("fail", "organism_neo4j")


def test_a_stream_without_a_group(system, monkeypatch):
    monkeypatch.setenv("ORGANISM_STREAM", "doctor-nobody")
    item = only(system())
    assert item["level"] == "warn"
    assert "no group graph_builder yet" in item["found"]


def test_entries_that_nobody_takes(system, server, settings, monkeypatch):
    server.xadd(settings.stream, {"x": "y"})
    server.xreadgroup(settings.group, "gone", {settings.stream: ">"})
    monkeypatch.setenv("ORGANISM_CLAIM_IDLE_S", "0.001")
    item = only(system())
    assert item["level"] == "warn"
    assert "1 pending, the oldest for" in item["found"]


def test_dead_letters_that_wait(cli, system, server, settings):
    server.xadd(settings.dead_stream, {"code": "x"})
    item = only(system())
    assert item["found"] == "1 dead letter waits for a decision"
    assert "0 failures, 1 warning, " in cli("doctor").out


def test_missing_constraints(system, neo4j_server, redis_server):
    with open_clients(redis_server.url, neo4j_server.url) as clients:
        clients.driver.execute_query("DROP CONSTRAINT employee_id")
        try:
            item = only(system())
        finally:
            clients.driver.execute_query(
                "CREATE CONSTRAINT employee_id IF NOT EXISTS FOR (e:Employee) REQUIRE e.id IS UNIQUE"
            )
    assert (item["level"], item["found"]) == ("warn", "no constraint employee_id yet")


@pytest.mark.parametrize(
    ("variable", "area", "uri"),
    [
        ("AIRFLOW_CONN_ORGANISM_REDIS", "organism_redis", "redis://:{password}@127.0.0.1:{port}/0"),
        ("AIRFLOW_CONN_ORGANISM_NEO4J", "organism_neo4j", "neo4j://neo4j:{password}@127.0.0.1:{port}"),
        ("AIRFLOW_CONN_WAREHOUSE", "warehouse", "postgres://warehouse:{password}@127.0.0.1:{port}/doctor_test"),
    ],
)
def test_a_server_that_is_not_there_or_refuses_the_login(
    system, monkeypatch, redis_server, neo4j_server, postgres_server, variable, area, uri
):
    ports = {
        "organism_redis": redis_server.port,
        "organism_neo4j": neo4j_server.port,
        "warehouse": postgres_server.port,
    }
    monkeypatch.setenv(variable, uri.format(password="wrong-but-long-enough", port=ports[area]))
    item = only(system())
    assert (item["level"], item["area"]) == ("fail", area)
    assert item["found"].startswith("AUTH ")
    assert "wrong-but" not in str(item)
    monkeypatch.setenv(variable, uri.format(password="wrong-but-long-enough", port=1))
    item = only(system())
    assert item["found"].startswith("NETWORK ")
    monkeypatch.delenv(variable)
    item = only(system())
    assert "isn't defined" in item["found"]


@pytest.mark.parametrize(
    ("variable", "value", "level", "says"),
    [
        ("AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS", "", "fail", "not cleaned of secrets"),
        ("AIRFLOW__SENTRY__SENTRY_ON", "True", "fail", "sends local variables and secrets"),
        ("AIRFLOW__CORE__DEFAULT_TIMEZONE", "Europe/Paris", "fail", "would jump with daylight saving"),
        ("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor", "fail", "one task at a time"),
        ("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True", "fail", "without a password"),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////x.db", "warn", "is SQLite"),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://airflow:airflow@db.x/a", "fail", "is the user's name"),
        ("AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT", "300", "warn", "only after 300 s"),
        ("AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL", "300", "warn", "may wait 300 s"),
        ("AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT", "5", "warn", "wait 5 s"),
        ("AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT", "30", "warn", "time-out of 30 s"),
        ("PIPELINE_LOG_FORMAT", "xml", "warn", "none of keyvalue, json"),
        ("ORGANISM_BATCH_SIZE", "many", "fail", "ORGANISM_BATCH_SIZE is not a whole number from 1 to 50,000"),
        ("ORGANISM_HALF_LIFE_DAYS", "0", "fail", "ORGANISM_HALF_LIFE_DAYS is not a number from 0.01 to 36,500"),
        ("ORGANISM_STREAM", "", "fail", "ORGANISM_STREAM is not a name"),
        ("ALERT_CAP_PER_HOUR", "0", "fail", "ALERT_CAP_PER_HOUR is no number from 1"),
        ("BACKUP_KEEP_DAYS", "-1", "fail", "BACKUP_KEEP_DAYS"),
        ("UPKEEP_LOG_DAYS", "inf", "fail", "UPKEEP_LOG_DAYS is not a number above 0"),
        ("UPKEEP_RUN_ERROR_DAYS", "nan", "fail", "UPKEEP_RUN_ERROR_DAYS is not a number above 0"),
        ("VMS_TIME_ZONE", "Mars/Olympus", "fail", "VMS_TIME_ZONE='Mars/Olympus' is no time zone"),
        (THRESHOLDS["freshness"].variable, "x", "fail", f"{THRESHOLDS['freshness'].variable} is no number"),
    ],
)
def test_settings_that_must_not_be_so(cli, system, monkeypatch, variable, value, level, says):
    monkeypatch.setenv(variable, value)
    monkeypatch.delenv("LOCAL_STATE_DIR", raising=False)
    done = cli("doctor", "--start", "--json")
    found = [item for item in json.loads(done.out)["findings"] if item["level"] != "ok"]
    assert [item["level"] for item in found] == [level]
    assert says in found[0]["found"]
    assert found[0]["fix"]
    assert done.code == (level == "fail")


def test_a_wrong_setting_is_told_once_and_the_servers_are_examined(system, monkeypatch):
    monkeypatch.setenv("ORGANISM_MAX_TARGETS", "-3")
    item = only(system())
    assert (item["level"], item["area"]) == ("fail", "settings")
    assert "ORGANISM_MAX_TARGETS" in item["fix"]


def test_a_half_life_that_is_not_the_graphs(system, monkeypatch):
    monkeypatch.setenv("ORGANISM_HALF_LIFE_DAYS", "7")
    item = only(system())
    assert (item["level"], item["area"]) == ("fail", "organism_neo4j")
    assert item["found"] == "the graph was built with a half-life of 14 days, the setting says 7"
    assert "ORGANISM_HALF_LIFE_DAYS=14" in item["fix"]


def test_a_missing_connection_is_named_before_the_start(cli, system, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ORGANISM_REDIS")
    done = cli("doctor", "--start")
    assert done.code == 1
    assert "fail  connections: not there: organism_redis" in done.out


def test_a_weak_password(system, monkeypatch, server, redis_server):
    server.config_set("requirepass", "redis")
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", f"redis://:redis@127.0.0.1:{redis_server.port}/0")
    try:
        item = only(system())
    finally:
        with redis_py.Redis(port=redis_server.port, password="redis") as weak:
            weak.config_set("requirepass", redis_server.password)
    assert (item["level"], item["area"]) == ("warn", "secrets")
    assert "organism_redis" in item["fix"].lower()
