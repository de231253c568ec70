"""`doctor`: everything that commonly goes wrong, each with the line that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from include.connections import METADATA, NEO4J, REDIS, SALESFORCE, SPARK, WAREHOUSE
from include.operations.doctor import (
    alert_channels,
    backups,
    breakers,
    installation,
    salesforce,
    secrets,
    servers,
    settings,
    spark,
)
from include.operations.doctor.finding import Finding, Level, failed

__all__ = ["Finding", "Level", "examine", "examine_start"]

Check = Callable[[], Iterable[Finding]]


# What needs no server.
_HERE: Final = (
    ("python", installation.python),
    ("packages", installation.packages),
    ("disk", installation.disk),
    ("airflow", settings.airflow),
    ("settings", settings.own),
)


def examine() -> Iterator[Finding]:
    """Go through all checks, in the order in which one would mend things.

    A check that fails is a finding; the others go on.
    """
    clocks = servers.Clocks()
    yield from _all(
        [
            *_HERE,
            (REDIS, lambda: servers.check_redis(clocks)),
            (NEO4J, lambda: servers.check_neo4j(clocks)),
            (WAREHOUSE, lambda: servers.check_warehouse(clocks)),
            (METADATA, lambda: servers.check_metadata(clocks)),
            (SALESFORCE, lambda: salesforce.check(clocks)),
            (SPARK, spark.check),
            ("clocks", clocks.findings),
            ("breakers", breakers.check),
            ("time zone", settings.time_zone),
            ("alerts", alert_channels.check),
            (backups.AREA, backups.check),
            ("secrets", secrets.check_connections),
            ("secrets", secrets.check_airflow),
            ("dags", installation.dags),
        ]
    )


def examine_start() -> Iterator[Finding]:
    """Check what must hold before Airflow starts, and needs no server: takes about three seconds.

    A deployment that fails here would run with secrets anybody can guess, leak them into its logs, or not at all.
    """
    yield from _all(
        [
            *_HERE,
            ("connections", settings.connections),
            ("secrets", secrets.check_connections),
            ("secrets", secrets.check_airflow),
        ]
    )


def _all(checks: Iterable[tuple[str, Check]]) -> Iterator[Finding]:
    for area, check in checks:
        yield from _guarded(area, check)


def _guarded(area: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 - an error is what the doctor is asked to find
        yield failed(area, error)
