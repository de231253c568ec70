"""`doctor`: everything that commonly goes wrong, each with the line that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from include.connections import NEO4J, REDIS, WAREHOUSE
from include.operations.doctor import installation, secrets, servers
from include.operations.doctor.finding import Finding, Level, failed

__all__ = ["Finding", "Level", "examine"]

Check = Callable[[], Iterable[Finding]]


def examine() -> Iterator[Finding]:
    """Go through all checks, in the order in which one would mend things.

    A check that fails is a finding; the others go on.
    """
    clocks = servers.Clocks()
    checks: list[tuple[str, Check]] = [
        ("python", installation.python),
        ("packages", installation.packages),
        ("disk", installation.disk),
        (REDIS, lambda: servers.check_redis(clocks)),
        (NEO4J, lambda: servers.check_neo4j(clocks)),
        (WAREHOUSE, lambda: servers.check_warehouse(clocks)),
        ("clocks", clocks.findings),
        ("secrets", secrets.check_connections),
        ("secrets", secrets.check_airflow),
        ("dags", installation.dags),
    ]
    for area, check in checks:
        yield from _guarded(area, check)


def _guarded(area: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 - an error is what the doctor is asked to find
        yield failed(area, error)
