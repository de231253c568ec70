"""Airflow's own hooks work with the exported connections."""

from __future__ import annotations

from typing import Any

import pytest

from local.simulators.settings import ACTIONS, SENTRY, SLACK, SMTP
from local.simulators.slack_messages import CHANNELS
from local.simulators.testing import AlertSink


@pytest.fixture
def connections(alert_sink: AlertSink, monkeypatch: pytest.MonkeyPatch) -> AlertSink:
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    return alert_sink


def connection(conn_id: str) -> Any:
    from airflow.sdk import Connection

    return Connection.get(conn_id)


def test_slack_hook(connections: AlertSink) -> None:
    from airflow.providers.slack.hooks.slack import SlackHook

    hook = SlackHook(slack_conn_id="slack_alerts")
    assert hook.test_connection()[0]
    channel = connection("slack_alerts").extra_dejson["channel"]
    assert hook.call("chat.postMessage", json={"channel": channel, "text": "from a hook"})["ok"]
    hook.send_file_v1_to_v2(channels=CHANNELS["alerts"], content="a,b\n", filename="rows.csv")
    assert hook.get_channel_id("alerts") == CHANNELS["alerts"]
    texts = [(m["text"], [file["name"] for file in m["files"]]) for m in connections.slack_messages()]
    assert texts == [("from a hook", []), ("", ["rows.csv"])]


def test_slack_webhook_hook(connections: AlertSink, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    monkeypatch.setenv(SLACK, connections.settings.webhook_connection())
    hook = SlackWebhookHook(slack_webhook_conn_id="slack_alerts")
    hook.send_text("from a webhook")
    assert [m["text"] for m in connections.slack_messages()] == ["from a webhook"]
    with pytest.raises(AirflowException, match="no_text"):
        hook.send_text("")


def test_smtp_hook(connections: AlertSink) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    with SmtpHook(smtp_conn_id="smtp_alerts") as hook:
        assert hook.test_connection()[0]
        recipient = connection("smtp_alerts").extra_dejson["to_email"]
        hook.send_email_smtp(to=recipient, subject="from a hook", html_content="<b>hello</b>")
    (mail,) = connections.emails()
    assert (mail["from"], mail["to"]) == ("pipelines@localhost", ["on-call@localhost"])
    assert (mail["subject"], mail["html"].strip()) == ("from a hook", "<b>hello</b>")


def test_the_sentry_connection_holds_the_dsn_where_airflow_masks_it(connections: AlertSink) -> None:
    found = connection("sentry")
    assert found.password == connections.settings.sentry_dsn
    assert set(connections.connections) == {SLACK, SMTP, SENTRY, ACTIONS}
