"""The real webhook client against the simulated incoming webhook, which answers in plain words."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.webhook import WebhookClient

from local.simulators.testing import AlertSink


@pytest.fixture
def webhook(alert_sink: AlertSink) -> WebhookClient:
    return WebhookClient(alert_sink.settings.webhook_url, timeout=60, retry_handlers=[])


def test_a_message_arrives_in_the_webhooks_channel(webhook: WebhookClient, alert_sink: AlertSink) -> None:
    answer = webhook.send_dict({"text": "hello", "channel": "#general"})
    assert (answer.status_code, answer.body) == (200, "ok")
    (message,) = alert_sink.slack_messages()
    assert (message["text"], message["channel_name"], message["via"]) == ("hello", "alerts", "webhook")


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"text": ""}, 400, "no_text"),
        ({"text": "x", "blocks": [{"type": "nonsense"}]}, 400, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, 400, "invalid_blocks"),
    ],
)
def test_refused_messages(
    webhook: WebhookClient, alert_sink: AlertSink, body: dict[str, Any], status: int, word: str
) -> None:
    answer = webhook.send_dict(body)
    assert (answer.status_code, answer.body) == (status, word)
    assert alert_sink.slack_messages() == []


def test_a_wrong_address_is_refused(alert_sink: AlertSink) -> None:
    answer = WebhookClient(f"{alert_sink.settings.root_url}/services/T1/B1/wrong").send(text="x")
    assert (answer.status_code, answer.body) == (404, "no_service")


def test_faults_speak_the_webhooks_language(webhook: WebhookClient, alert_sink: AlertSink) -> None:
    alert_sink.behave("slack", "rate_limit", retry_after=3)
    answer = webhook.send(text="x")
    assert (answer.status_code, answer.body, answer.headers["Retry-After"]) == (429, "rate_limited", "3")
    alert_sink.behave("slack", "invalid_auth")
    answer = webhook.send(text="x")
    assert (answer.status_code, answer.body) == (403, "invalid_token")
    alert_sink.behave("slack", "server_error")
    assert webhook.send(text="x").status_code == 500
