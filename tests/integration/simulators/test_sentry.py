"""The real Sentry SDK against the simulated endpoint."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import sentry_sdk

from local.simulators.testing import AlertSink


@contextmanager
def sdk(dsn: str) -> Iterator[sentry_sdk.Client]:
    """A client of its own, without the global hooks of `sentry_sdk.init`."""
    client = sentry_sdk.Client(dsn, default_integrations=False, environment="test", shutdown_timeout=0.1)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        try:
            yield client
        finally:
            client.close(timeout=0.1)


def capture(text: str) -> str | None:
    return sentry_sdk.capture_exception(ValueError(text))


def test_an_exception_arrives(alert_sink: AlertSink) -> None:
    before = time.time()
    with sdk(alert_sink.settings.sentry_dsn) as client:
        sentry_sdk.set_tag("dag_id", "organism_incremental_update")
        event_id = capture("boom")
        client.flush(timeout=60)
    (event,) = alert_sink.sentry_events()
    assert event["event_id"] == event_id
    assert event["exception"]["values"][-1]["value"] == "boom"
    assert event["tags"]["dag_id"] == "organism_incremental_update"
    assert event["environment"] == "test"
    assert before <= alert_sink.sentry_items()[0]["received_at"] <= time.time()


def test_rate_limits_stop_the_sdk(alert_sink: AlertSink) -> None:
    alert_sink.behave("sentry", "rate_limit", retry_after=60, times=1)
    with sdk(alert_sink.settings.sentry_dsn) as client:
        for text in ("refused", "never sent"):
            capture(text)
            client.flush(timeout=60)
    # Only errors are limited: what the SDK sends next is its report of what it dropped.
    assert [r["outcome"] for r in alert_sink.requests("sentry")] == ["429", "200"]
    assert [item["type"] for item in alert_sink.sentry_items()] == ["client_report"]


def test_a_hanging_endpoint_costs_no_more_than_the_flush_allows(alert_sink: AlertSink) -> None:
    alert_sink.behave("sentry", "hang")
    with sdk(alert_sink.settings.sentry_dsn) as client:
        capture("late")
        client.flush(timeout=0.3)
        assert alert_sink.sentry_events() == [], "it came back while the endpoint still hangs"
        alert_sink.behave("sentry", "ok")
        alert_sink.wait(lambda sink: sink.sentry_events())


def envelope() -> bytes:
    event = json.dumps({"message": "two\nlines"})
    header = json.dumps({"type": "event", "length": len(event)})
    return f'{{"event_id": "{"a" * 32}"}}\n{header}\n{event}\n'.encode()


def post(sink: AlertSink, body: bytes, *, key: str = "", project: int = 1, **headers: str) -> httpx.Response:
    auth = f"Sentry sentry_key={key or sink.settings.sentry_key}, sentry_version=7, sentry_client=test/1"
    everything = {"X-Sentry-Auth": auth, **headers}
    return httpx.post(f"{sink.settings.root_url}/api/{project}/envelope/", content=body, headers=everything, timeout=60)


def test_plain_and_packed_envelopes(alert_sink: AlertSink) -> None:
    assert post(alert_sink, envelope()).json() == {"id": "a" * 32}
    packed = gzip.compress(envelope().replace(b"aaaa", b"bbbb"))
    assert post(alert_sink, packed, **{"Content-Encoding": "gzip"}).status_code == 200
    assert [event["message"] for event in alert_sink.sentry_events()] == ["two\nlines"] * 2


def test_refused_envelopes(alert_sink: AlertSink) -> None:
    assert post(alert_sink, envelope(), key="wrong").status_code == 403
    assert post(alert_sink, envelope(), project=2).status_code == 403
    assert post(alert_sink, b"no envelope").status_code == 400
    assert post(alert_sink, b'{}\n{"type": "event", "length": 99}\n{}').status_code == 400
    unsigned = httpx.post(f"{alert_sink.settings.root_url}/api/1/envelope/", content=envelope(), timeout=60)
    assert unsigned.status_code == 401
    assert alert_sink.sentry_events() == []


@pytest.mark.parametrize(("mode", "status"), [("refuse", 403), ("server_error", 500)])
def test_faults(alert_sink: AlertSink, mode: str, status: int) -> None:
    alert_sink.behave("sentry", mode, times=1)
    assert post(alert_sink, envelope()).status_code == status
    assert post(alert_sink, envelope()).status_code == 200
