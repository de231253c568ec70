"""`doctor` on the rights of real servers' accounts, and on the alert channels, by the real SDKs."""

from contextlib import contextmanager

import psycopg
import pytest
import redis as redis_py
from psycopg import sql

from include import connections
from include.operations.doctor import Level, alert_channels, rights, servers
from include.operations.doctor.servers import Clocks
from include.organism.settings import Settings
from tests.faults.world import open_clients, run_steps

pytestmark = pytest.mark.servers


def bad(findings):
    return [(finding.level, finding.found) for finding in findings if finding.level is not Level.OK]


# --- PostgreSQL -------------------------------------------------------------------------


@contextmanager
def role(database, server, *clauses, grants=()):
    """A connection as a role of its own."""
    name = sql.Identifier("doctor_role")
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {} login password 'long-and-random-1' {}").format(name, *_words(clauses)))
        try:
            for grant in grants:
                admin.execute(sql.SQL(grant).format(name))
            parts = psycopg.conninfo.conninfo_to_dict(database.admin_url)
            arguments = {**parts, "user": "doctor_role", "password": "long-and-random-1"}
            with psycopg.connect(**arguments) as connection:
                yield connection
        finally:
            admin.execute(sql.SQL("drop owned by {}").format(name))
            admin.execute(sql.SQL("drop role {}").format(name))


def _words(clauses):
    return [sql.SQL(" ".join(clauses))]


READ_WRITE = (
    "grant usage on schema ops, organism, vms to {}",
    "grant select, insert, update, delete on all tables in schema ops, organism, vms to {}",
)


def test_the_embedded_role_has_what_it_needs_and_no_more(warehouse_database):
    with psycopg.connect(warehouse_database.url) as connection:
        assert list(rights.check_role(connection, "warehouse")) == []
        assert list(rights.check_tables(connection, "warehouse")) == []


@pytest.mark.parametrize(
    ("clause", "level", "words"),
    [
        ("superuser", Level.FAIL, "is a superuser"),
        ("createrole", Level.FAIL, "may create roles"),
        ("createdb", Level.WARN, "may create databases"),
        ("bypassrls", Level.WARN, "passes over row security"),
    ],
)
def test_a_role_with_too_many_rights(warehouse_database, postgres_server, clause, level, words):
    with role(warehouse_database, postgres_server, clause) as connection:
        ((found_level, found),) = bad(rights.check_role(connection, "warehouse"))
    assert (found_level, words in found) == (level, True)


def test_a_role_that_may_run_programs_on_the_server(warehouse_database, postgres_server):
    grant = ["grant pg_execute_server_program to {}"]
    with role(warehouse_database, postgres_server, grants=grant) as connection:
        assert bad(rights.check_role(connection, "warehouse")) == [
            (Level.FAIL, "the role may run programs on the server")
        ]


def test_a_role_that_lacks_a_right(warehouse_database, postgres_server):
    with role(warehouse_database, postgres_server, grants=READ_WRITE) as connection:
        assert bad(rights.check_tables(connection, "warehouse")) == []
    grants = [*READ_WRITE, "revoke insert on ops.graph_update from {}"]
    with role(warehouse_database, postgres_server, grants=grants) as connection:
        (finding,) = rights.check_tables(connection, "warehouse")
    assert (finding.level, finding.found) == (Level.FAIL, "no right to read and write ops.graph_update")
    assert "grant select, insert, update, delete on ops.graph_update" in finding.fix


def test_a_role_that_may_not_use_a_schema(warehouse_database, postgres_server):
    grants = [*READ_WRITE, "revoke usage on schema vms from {}"]
    with role(warehouse_database, postgres_server, grants=grants) as connection:
        (finding,) = rights.check_tables(connection, "warehouse")
    assert (finding.level, "vms." in finding.found) == (Level.FAIL, True)


def test_the_reader_of_airflows_metadata_is_right(metadata_database):
    (finding,) = servers.check_metadata(Clocks())
    assert finding.level is Level.OK
    assert "airflow_reader" in finding.found


def test_a_reader_of_airflows_metadata_that_may_too_much_or_too_little(metadata_database):
    with psycopg.connect(metadata_database.admin_url) as admin:
        admin.execute("revoke select (state) on dag_run from airflow_reader")
        admin.execute("grant insert on log to airflow_reader")
    missing, excess = servers.check_metadata(Clocks())
    assert (missing.level, missing.found) == (Level.FAIL, "cannot read dag_run.state")
    assert excess.level is Level.WARN
    assert "may write log" in excess.found


# --- Redis ------------------------------------------------------------------------------


@contextmanager
def redis_user(server, *rules):
    with redis_py.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "doctor", "reset", "on", ">long-and-random-1", *rules)
        url = f"redis://doctor:long-and-random-1@{server.host}:{server.port}/0"
        try:
            with redis_py.Redis.from_url(url, protocol=2) as client:
                yield client, url
        finally:
            admin.execute_command("ACL", "DELUSER", "doctor")


def test_a_redis_user_that_may_everything_is_named_unless_redis_is_on_this_machine(redis_server):
    with redis_user(redis_server, "~*", "&*", "+@all") as (client, _):
        ((level, found),) = bad(rights.check_redis_user(client, "organism_redis", local=False))
        assert (level, found.split(", ")[0]) == (Level.WARN, "the user doctor may run FLUSHALL")
        assert bad(rights.check_redis_user(client, "organism_redis", local=True)) == []


def test_the_documented_redis_rules_are_enough_for_the_pipeline_and_no_more(redis_server, neo4j_server, monkeypatch):
    settings = Settings(stream="interactions:doctor")
    monkeypatch.setenv("ORGANISM_STREAM", settings.stream)
    with redis_user(redis_server, *rights.REDIS_RULES) as (client, url):
        (finding,) = rights.check_redis_user(client, "organism_redis", local=False)
        assert (finding.level, finding.found) == (Level.OK, "the user doctor cannot run dangerous commands")
        client.xadd(settings.stream, {"id": "1", "source": "a", "target": "b", "type": "email", "timestamp": "1"})
        client.xadd(settings.stream, {"id": "2"})
        with open_clients(url, neo4j_server.url) as clients:
            result = run_steps(clients, settings, "doctor-rights")
        monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", url)
        assert not [finding for finding in servers.check_redis(Clocks()) if finding.level is Level.FAIL]
        with pytest.raises(redis_py.exceptions.NoPermissionError):
            client.flushall()
        client.unlink(settings.stream, settings.dead_stream)
    assert result is not None


# --- Neo4j ------------------------------------------------------------------------------


def test_the_community_edition_has_no_roles_to_name(neo4j_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    with connections.neo4j_driver() as (driver, database):
        ask = lambda query: driver.execute_query(query, database_=database).records  # noqa: E731
        assert list(rights.check_neo4j_user(ask, "organism_neo4j")) == []


def test_an_administrator_and_a_first_password_are_named():
    user = {"user": "neo4j", "roles": ["admin", "PUBLIC"], "passwordChangeRequired": True}
    first, admin = rights.check_neo4j_user(lambda _: [user], "organism_neo4j")
    assert (first.level, admin.level) == (Level.FAIL, Level.WARN)


# --- alert channels ---------------------------------------------------------------------


@pytest.fixture
def channels(alert_sink, monkeypatch):
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    return alert_sink


def test_channels_that_work_are_ok_and_nothing_is_sent(channels):
    found = list(alert_channels.check())
    assert [(finding.level, finding.area) for finding in found] == [
        (Level.OK, "slack_alerts"),
        (Level.OK, "smtp_alerts"),
        (Level.OK, "sentry"),
    ]
    assert (channels.slack_messages(), channels.emails(), channels.sentry_events()) == ([], [], [])


def test_a_webhook_is_found_without_posting(channels, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_ALERTS", channels.settings.webhook_connection())
    assert next(alert_channels.check()).found == "the webhook is there"
    assert channels.slack_messages() == []
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_ALERTS", channels.settings.webhook_connection()[:-4] + "xxx%40@")
    assert next(alert_channels.check()).level is Level.FAIL


@pytest.mark.parametrize(
    ("name", "secret"), [("SLACK_ALERTS", "slack_token"), ("SMTP_ALERTS", "smtp_password"), ("SENTRY", "sentry_key")]
)
def test_a_refused_channel_fails_with_its_reason_and_without_the_secret(channels, monkeypatch, name, secret):
    good = channels.connections[f"AIRFLOW_CONN_{name}"]
    value = getattr(channels.settings, secret)
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}", good.replace(value, "wrong" + value[5:]))
    ((level, found),) = bad(alert_channels.check())
    assert level is Level.FAIL
    assert value[5:] not in found


def test_a_channel_that_does_not_answer_fails_and_the_others_are_checked(channels, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_ALERTS", "smtp://a:long-and-random-1@127.0.0.1:1/?disable_ssl=true")
    found = list(alert_channels.check())
    assert [finding.level for finding in found] == [Level.OK, Level.FAIL, Level.OK]
    assert found[1].found.startswith("NETWORK ")


def test_missing_channels_are_named_once(monkeypatch):
    for name in ("SLACK_ALERTS", "SMTP_ALERTS", "SENTRY"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}", raising=False)
    (finding,) = alert_channels.check()
    assert (finding.level, finding.found) == (Level.WARN, "no channel: a failure tells nobody")
