"""The demo's figures are those of its own runs, whatever form the warehouse's connection has."""

from __future__ import annotations

import json
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from include.warehouse import schema
from local import demo_figures
from local.servers import PostgresServer

pytestmark = pytest.mark.servers
_ROW = """
INSERT INTO ops.graph_update (run_id, created_at, epoch, watermark, read, written, duplicates, skipped, dead, lost,
  batches, people_touched, people_created, edges_touched, edges_created, claimed, drained, acknowledged, pending,
  healed, seconds)
VALUES (%s, now() + %s, 1, '0-0', %s, %s, 0, '{}', %s, 0, 0, 0, 0, 0, 0, 0, true, 0, 0, '{}', '{}')
"""


def forms(url: str) -> list[str]:
    """The same database as URL, as JSON, and as URL with an extra that psycopg itself does not know."""
    parts = urlsplit(url)
    extra = {"sslmode": "disable"}
    whole = {
        "conn_type": "postgres",
        "host": parts.hostname,
        "port": parts.port,
        "login": parts.username,
        "password": parts.password,
        "schema": parts.path[1:],
        "extra": extra,
    }
    plain = url.replace("postgresql://", "postgres://")
    return [plain, json.dumps(whole), f"{plain}?__extra__={quote(json.dumps(extra))}"]


@pytest.fixture
def database(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    url = postgres_server.create_database("demo_figures")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", forms(url)[0])
    schema.upgrade()
    return url


def test_only_the_demos_own_runs_count(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    since = demo_figures.now()
    with psycopg.connect(database) as connection:
        for run_id, moment, read, written, dead in [
            ("manual__ours", "1 second", 10, 7, 3),
            ("scheduled__tick", "2 seconds", 5, 5, 0),
            ("manual__of another installation", "2 seconds", 100, 90, 10),
            ("scheduled__before", "-1 hour", 1000, 900, 100),
        ]:
            connection.execute(_ROW, [run_id, moment, read, written, dead])
    for form in forms(database):
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", form)
        assert demo_figures.now() >= since
        found = demo_figures.totals(since, ["manual__ours", "scheduled__tick", "scheduled__before"])
        assert found == (15, 12, 3)
        assert not found.all_dead
    assert demo_figures.totals(since, []) == (0, 0, 0)
