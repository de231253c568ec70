"""Keeps Airflow's log lines out of a command's result."""

from __future__ import annotations

import contextlib
import logging
import os
import sys

from include.operations.log import LineFormatter


def to_stderr() -> None:
    """Import Airflow with its log on stderr, warnings only.

    Airflow binds its log to whatever stdout is at its import, and would mix its lines into `--json`. The import takes
    a second, so only commands that resolve connections call this.
    """
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    with contextlib.redirect_stdout(sys.stderr):
        import airflow.sdk
        import airflow.settings  # noqa: F401
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    for handler in root.handlers:
        if handler.name == "default":
            # Airflow's, which would neither mask what our lines may not hold nor write them as JSON.
            handler.setFormatter(LineFormatter())
    # A graph without a label yet is no news to somebody who asks what is in it.
    logging.getLogger("neo4j.notifications").setLevel(logging.ERROR)
    # Airflow takes every extra of a connection for a secret, and complains that a time-out of 5 is too short for one.
    logging.getLogger("airflow.sdk._shared.secrets_masker").setLevel(logging.ERROR)
