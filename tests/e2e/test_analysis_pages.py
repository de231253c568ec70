"""The pages of the causal analysis behind Airflow's login: nobody's without one, and nothing but files of a run."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import psycopg
import pytest

from local.testing import AirflowSystem

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]
RUN = "manual__2026-03-31T06:00:00+00:00_x/y"
FILES = {"index.html": b"<!doctype html><p>page</p>", "effects.png": b"\x89PNG picture", "odd.exe": b"MZ"}


@pytest.fixture
def address(airflow_system: AirflowSystem) -> Iterator[str]:
    measured_at = "2026-03-31T06:00:00Z"
    with psycopg.connect(airflow_system.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
        for name, content in FILES.items():
            connection.execute("insert into organism.causal_report values (%s, %s, %s)", [measured_at, name, content])
        connection.execute(
            "insert into organism.causal_estimate (measured_at, run_id, outcome, treatment, specification_hash,"
            " inputs_hash, engine, design, verdict, runs_of_this_sign) values"
            " (%s, %s, 'o', 't', '', '', '', '', 'refused', 0)",
            [measured_at, RUN],
        )
    yield f"/organism/analysis/runs/{quote(RUN, safe='')}"
    with psycopg.connect(airflow_system.env["AIRFLOW_CONN_WAREHOUSE"]) as connection:
        connection.execute("delete from organism.causal_report where measured_at = %s", [measured_at])
        connection.execute("delete from organism.causal_estimate where run_id = %s", [RUN])


def test_a_page_needs_a_login(airflow_system: AirflowSystem, address: str) -> None:
    for path in ("index.html", "effects.png", "nothing.html"):
        assert httpx.get(f"{airflow_system.url}{address}/{path}", timeout=60).status_code == 401


def test_a_page_and_its_pictures(airflow_system: AirflowSystem, address: str) -> None:
    page = airflow_system.api.get(f"{address}/index.html")
    assert (page.status_code, page.content) == (200, FILES["index.html"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    picture = airflow_system.api.get(f"{address}/effects.png")
    assert (picture.headers["content-type"], picture.content) == ("image/png", FILES["effects.png"])


def test_nothing_else_is_served(airflow_system: AirflowSystem, address: str) -> None:
    for path in ("odd.exe", "nothing.html", "index.html' or true --", "..%2Findex.html"):
        assert airflow_system.api.get(f"{address}/{path}").status_code == 404
    assert airflow_system.api.get("/organism/analysis/runs/another/index.html").status_code == 404
