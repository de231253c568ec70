"""DAG files that cannot be imported: told by a process of its own, ended when Airflow can read them again.

The DAG processor calls its listeners inside its main loop and in its own transaction, where nothing may block or open
connections. So `tell` only starts `python -m include.operations.alerts.import_errors`, which does the rest.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from include.operations.log import log_event

log = logging.getLogger(__name__)

# The end of a traceback says what is wrong; a generated file can make it megabytes long.
_TRACE: Final = 4000


def tell(filename: str, stacktrace: str) -> None:
    """Have a new import error told, without waiting for it."""
    given = json.dumps({"filename": filename, "stacktrace": stacktrace[-_TRACE:]})
    child = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, start_new_session=True, text=True)
    assert child.stdin is not None  # noqa: S101 - asked for
    with child.stdin as pipe:
        pipe.write(given)


def report(filename: str, stacktrace: str, *, now: datetime | None = None) -> None:
    """Tell it. Takes at most 5 s and never raises."""
    from include.operations.alerts import raise_problem
    from include.operations.alerts.failures import of_import

    moment = now or datetime.now(UTC)
    raise_problem(of_import(short_name(filename), stacktrace, minute=f"{moment:%Y-%m-%dT%H:%M}"), now=now)


def short_name(filename: str) -> str:
    """The file below the folder of DAGs; the last two parts of its path when it lies elsewhere."""
    from airflow.sdk import conf

    path, folder = Path(filename), Path(str(conf.get("core", "dags_folder", fallback="") or "dags"))
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return "/".join(path.parts[-2:])


def check_recoveries(*, now: datetime | None = None) -> int:
    """End the incidents of files that Airflow can read again, or that are gone; returns how many.

    Raises:
        psycopg.Error: the warehouse or Airflow's metadata cannot be read.
    """
    from include.connections import warehouse
    from include.operations.alerts import resolve
    from include.operations.metadata import metadata

    with warehouse() as connection:
        open_ones = connection.execute(
            "select incident_key, detail->>'object' from ops.incident where kind = 'import_error'"
            " and recovered_at is null"
        ).fetchall()
    if not open_ones:
        return 0
    with metadata() as connection:
        broken = [name for (name,) in connection.execute("select filename from import_error")]
    ended = [key for key, name in open_ones if not any(_same(name, each) for each in broken)]
    for key in ended:
        resolve(key, "Airflow can read the file again.", now=now)
    return len(ended)


def _same(ours: str, airflows: str) -> bool:
    """Airflow keeps the path below its bundle, which may be more or less of the path than ours."""
    return f"/{ours}".endswith(f"/{airflows}") or f"/{airflows}".endswith(f"/{ours}")


def main() -> None:
    """Read what `tell` wrote, and tell it."""
    given = json.loads(sys.stdin.read())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    log_event(log, "dag_import_error", level=logging.ERROR, file=short_name(given["filename"]))
    report(given["filename"], given["stacktrace"])


if __name__ == "__main__":
    main()
