"""Which connections lead to the servers that `make up` starts on this machine."""

from __future__ import annotations

import os
from typing import Final

# `make up` writes both into .local/env: whose system this is, and the names of the variables the user had set.
_MARK: Final = "LOCAL_STATE_DIR"
_GIVEN: Final = "LOCAL_GIVEN"


def is_local_system() -> bool:
    """Whether this is the system of `make up` on one machine, where development settings are fine."""
    return bool(os.environ.get(_MARK))


def is_embedded(conn_id: str) -> bool:
    """Whether a connection is one that `make up` has made, so that its server is down when the system is."""
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    given = os.environ.get(_GIVEN, "").split()
    return is_local_system() and bool(os.environ.get(variable)) and variable not in given
