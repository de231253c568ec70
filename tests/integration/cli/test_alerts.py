"""`alerts`: channels tried for real, outbox, silences and incidents looked after."""

from __future__ import annotations

import json

import pytest

from include.operations import alerts
from include.operations.alerts import Problem
from tests.cli_runner import cli
from tests.integration.operations.patience import patient_alerts

__all__ = ["cli"]
pytestmark = pytest.mark.servers
FAILED = Problem("task_failed", "a.b failed", dag_id="a", run_id="1", task_id="b", error_class="DATABASE")


@pytest.fixture
def sink(alert_sink, monkeypatch):
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    patient_alerts(monkeypatch)
    return alert_sink


@pytest.fixture
def warehouse(postgres_server, warehouse_template, monkeypatch, tmp_path):
    url = postgres_server.create_database("alerts_cli", template=warehouse_template)
    url = url.replace("postgresql://", "postgres://")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url)
    monkeypatch.setenv("ALERT_STATE_DIR", str(tmp_path))
    return url


def test_each_channel_delivers_is_refused_or_is_not_configured(cli, sink, monkeypatch):
    done = cli("alerts", "test", "--json")
    assert done.code == 0, done.err
    assert {each["channel"]: each["result"] for each in json.loads(done.out)} == {
        "slack": "delivered",
        "email": "delivered",
        "sentry": "delivered",
    }
    assert len(sink.slack_messages()) == len(sink.emails()) == len(sink.sentry_events()) == 1
    sink.behave("slack", "invalid_auth")
    sink.behave("smtp", "refuse_login")
    monkeypatch.delenv("AIRFLOW_CONN_SENTRY")
    done = cli("alerts", "test")
    assert done.code == 1
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert "refused" in lines["slack"]
    assert "invalid_auth" in lines["slack"]
    assert "SMTP_535" in lines["email"]
    assert "not configured" in lines["sentry"]
    assert cli("alerts", "test", "--channel", "sentry").code == 1
    assert "no channel fax" in cli("alerts", "test", "--channel", "fax").err


def test_a_connection_that_is_no_use_says_why(cli, sink, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_ALERTS", "slack://")
    monkeypatch.setenv("AIRFLOW_CONN_SENTRY", "generic://:no-dsn@")
    done = cli("alerts", "test")
    assert done.code == 1
    assert "NO_TOKEN" in done.out
    assert "BAD_DSN" in done.out


def test_outbox_incidents_and_silences(cli, sink, warehouse):
    sink.behave("slack", "server_error")
    alerts.raise_problem(FAILED)
    (row,) = json.loads(cli("alerts", "outbox", "list", "--json").out)
    assert (row["channel"], row["last_error"], row["title"]) == ("slack", "internal_error", "a.b failed")
    assert "waiting 1" in cli("alerts", "outbox", "flush").out
    assert "a.b failed" in cli("alerts", "incidents", "list").out

    made = cli("alerts", "silence", "add", "--dag", "a", "--until", "2h", "--reason", "known")
    assert made.code == 0, made.err
    number = made.out.split()[1].rstrip(":")
    assert "known" in cli("alerts", "silence", "list").out
    assert cli("alerts", "silence", "end", number).code == 0
    assert "no silence" in cli("alerts", "silence", "list").out
    assert "in force" in cli("alerts", "silence", "end", number).err

    (incident,) = json.loads(cli("alerts", "incidents", "list", "--json").out)
    assert cli("alerts", "incidents", "close", str(incident["id"]), "--reason", "gone").code == 0
    assert "no open incident" in cli("alerts", "incidents", "list").out
    assert "no open incident" in cli("alerts", "incidents", "close", "999", "--reason", "x").err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--until", "2h", "--reason", "x"), "everything"),
        (("--dag", "a", "--until", "90d", "--reason", "x"), "30 days"),
        (("--dag", "a", "--until", "2020-01-01", "--reason", "x"), "30 days"),
        (("--dag", "a", "--until", "soon", "--reason", "x"), "no time"),
        (("--dag", "a", "--until", "2h", "--reason", " "), "reason"),
        (("--class", "WEATHER", "--until", "2h", "--reason", "x"), "no error class"),
    ],
)
def test_silences_that_are_refused(cli, arguments, complaint):
    done = cli("alerts", "silence", "add", *arguments)
    assert done.code == 1
    assert complaint in done.err
