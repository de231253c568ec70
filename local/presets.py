"""Servers the user brings along: a variable that is set beforehand wins over the embedded server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from local import envfile
from local.files import read_json
from local.salesforce.settings import CONNECTION as SALESFORCE
from local.simulators.settings import ACTIONS, SENTRY, SLACK, SMTP

METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
WAREHOUSE = "AIRFLOW_CONN_WAREHOUSE"
REDIS = "AIRFLOW_CONN_ORGANISM_REDIS"
NEO4J = "AIRFLOW_CONN_ORGANISM_NEO4J"
READER = "AIRFLOW_CONN_AIRFLOW_METADATA"
UPKEEP = "AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP"
SCRATCH = "AIRFLOW_CONN_BACKUP_SCRATCH"
# Says whose .local/env a shell has sourced.
MARK = "LOCAL_STATE_DIR"
# Names of the variables in .local/env that the user has set; the others are ours.
GIVEN = "LOCAL_GIVEN"
_KEPT_SECRET = {
    METADATA: "postgres_airflow",
    READER: "postgres_airflow_reader",
    UPKEEP: "postgres_airflow_upkeep",
    SCRATCH: "postgres_backup_scratch",
    WAREHOUSE: "postgres_warehouse",
    REDIS: "redis",
    NEO4J: "neo4j",
    SLACK: "alert-sink.slack_token",
    SMTP: "alert-sink.smtp_password",
    SENTRY: "alert-sink.sentry_key",
    ACTIONS: "alert-sink.actions_token",
    SALESFORCE: "salesforce.consumer_secret",
}
# Which variables stand for which part.
_NEEDED = {
    "postgres": (METADATA, WAREHOUSE),
    "redis": (REDIS,),
    "neo4j": (NEO4J,),
    "alert-sink": (SLACK, SMTP, SENTRY),
    "salesforce": (SALESFORCE,),
}
# The servers by the names people use, the variable of each, and the port where one has none.
SERVERS = {
    "redis": (REDIS, 6379),
    "neo4j": (NEO4J, 7687),
    "warehouse": (WAREHOUSE, 5432),
    "metadata": (METADATA, 5432),
}
# Settings of the pipelines, of backups and of housekeeping: programs that attach later must see the same.
_OTHERS = ("ORGANISM_", "INTERVENTION_", "BACKUP_", "UPKEEP_")


class Presets:
    """The variables a user has set, without what we ourselves have written into `.local/env`.

    The user's own values are in that file, too: a shell that has sourced it still names the user's servers.
    """

    def __init__(self, state_dir: Path, environ: Mapping[str, str] | None = None) -> None:
        given = os.environ if environ is None else environ
        sourced = envfile.read(state_dir / "env") if given.get(MARK) == str(state_dir) else {}
        theirs = set(sourced.get(GIVEN, "").split())
        kept = read_json(state_dir / "secrets.json")
        self._variables = {
            name: value
            for name, value in given.items()
            if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", *_OTHERS))
            and (name in theirs or sourced.get(name) != value)
            # An old copy of .local/env may name another port, but it has our password.
            and not _holds(value, kept.get(_KEPT_SECRET.get(name, "")))
        }

    def get(self, name: str) -> str | None:
        """Return the value the user has set."""
        return self._variables.get(name) or None

    @property
    def settings(self) -> dict[str, str]:
        """Airflow settings set by the user."""
        return {name: value for name, value in self._variables.items() if name.startswith("AIRFLOW__")}

    @property
    def others(self) -> dict[str, str]:
        """Settings of the pipelines, of backups and housekeeping set by the user."""
        return {name: value for name, value in self._variables.items() if name.startswith(_OTHERS) and value}

    @property
    def connections(self) -> dict[str, str]:
        """Airflow connections set by the user."""
        return {name: value for name, value in self._variables.items() if name.startswith("AIRFLOW_CONN_") and value}

    @property
    def servers(self) -> dict[str, str]:
        """The servers the user brings along: name, and the variable."""
        return {name: variable for name, (variable, _) in SERVERS.items() if self.get(variable)}

    def given_in(self, variables: Mapping[str, str]) -> str:
        """Return the names of those variables that are the user's, for GIVEN."""
        return " ".join(sorted(name for name, value in variables.items() if self.get(name) == value))

    def replaces(self, server: str) -> str:
        """Return the variables because of which an embedded server is not started; empty: it is started."""
        needed = _NEEDED[server]
        return " and ".join(needed) if all(self.get(name) for name in needed) else ""


def _holds(value: str, secret: object) -> bool:
    return isinstance(secret, str) and bool(secret) and secret in unquote(value)
