"""Settings under which Airflow and the pipelines run: what must hold before anything starts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from include.connections import NEO4J, REDIS, WAREHOUSE
from include.operations.doctor.embedded import is_local_system
from include.operations.doctor.finding import Finding, fail, failed, ok, warn
from include.operations.errors import InputRejected
from include.operations.log import FORMAT_VARIABLE, LogFormat

LOGGING_CLASS: Final = "include.operations.airflow_logging.LOGGING_CONFIG"
# A lost supervisor is noticed after this time, and the fault alert with it; seconds.
_LONGEST_HEARTBEAT_S: Final = 120
_SHORTEST_API_S: Final = 30
_SHORTEST_IMPORT_S: Final = 60
_NEEDED: Final = (REDIS, NEO4J, WAREHOUSE)

Get = Callable[[str, str], str]


def airflow() -> Iterator[Finding]:
    """Executor, database, log-in, time zone, time-outs and logging of Airflow."""
    from airflow.configuration import conf

    def get(section: str, name: str) -> str:
        return str(conf.get(section, name, fallback="") or "")

    bad = [*_executor(get), *_login(get), *_logging(get), *_timeouts(get)]
    shown = f"{get('core', 'executor')}, heartbeat time-out {get('scheduler', 'task_instance_heartbeat_timeout')} s"
    yield from bad or [ok("airflow", f"{shown}, times in {get('core', 'default_timezone')}")]


def _executor(get: Get) -> Iterator[Finding]:
    if "Sequential" in get("core", "executor"):
        yield fail("airflow", "SequentialExecutor runs one task at a time", _set("CORE", "EXECUTOR", "LocalExecutor"))
    # Tasks are given a stand-in for the real address.
    if get("database", "sql_alchemy_conn").startswith("sqlite"):
        fix = "use PostgreSQL: set AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
        yield warn("airflow", "the metadata database is SQLite, which blocks under several processes", fix)
    if (zone := get("core", "default_timezone").lower()) not in {"utc", "etc/utc"}:
        found = f"the default time zone is {zone}: schedules would jump with daylight saving time"
        yield fail("airflow", found, _set("CORE", "DEFAULT_TIMEZONE", "utc"))


def _login(get: Get) -> Iterator[Finding]:
    if "SimpleAuthManager" not in (get("core", "auth_manager") or "SimpleAuthManager"):
        return
    if get("core", "simple_auth_manager_all_admins").lower() == "true":
        level = warn if is_local_system() else fail
        fix = _set("CORE", "SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        yield level("airflow", "everybody who reaches the UI is an administrator, without a password", fix)


def _logging(get: Get) -> Iterator[Finding]:
    if get("logging", "logging_config_class") != LOGGING_CLASS:
        fix = _set("LOGGING", "LOGGING_CONFIG_CLASS", LOGGING_CLASS)
        yield fail("logs", "Airflow's task logs are not cleaned of secrets and personal values", fix)
    if get("sentry", "sentry_on").lower() == "true":
        found = "Airflow's own Sentry integration is on: it sends local variables and secrets"
        yield fail("logs", found, f"{_set('SENTRY', 'SENTRY_ON', 'False')}; the connection `sentry` is ours")
    chosen = os.environ.get(FORMAT_VARIABLE, "").strip().lower()
    if chosen and chosen not in set(LogFormat):
        yield warn("logs", f"{FORMAT_VARIABLE} is none of {', '.join(LogFormat)}", f"export {FORMAT_VARIABLE}=keyvalue")


def _timeouts(get: Get) -> Iterator[Finding]:
    heartbeat = _number(get("scheduler", "task_instance_heartbeat_timeout"))
    if heartbeat > _LONGEST_HEARTBEAT_S:
        found = f"a lost task is noticed only after {heartbeat:g} s"
        yield warn("airflow", found, _set("SCHEDULER", "TASK_INSTANCE_HEARTBEAT_TIMEOUT", "60"))
    orphans = _number(get("scheduler", "orphaned_tasks_check_interval"))
    if orphans > _LONGEST_HEARTBEAT_S:
        found = f"a killed scheduler's tasks may wait {orphans:g} s to be run again"
        yield warn("airflow", found, _set("SCHEDULER", "ORPHANED_TASKS_CHECK_INTERVAL", "30"))
    if (seconds := _number(get("workers", "execution_api_timeout"))) < _SHORTEST_API_S:
        found = f"a busy api-server fails tasks: they wait {seconds:g} s for it"
        yield warn("airflow", found, _set("WORKERS", "EXECUTION_API_TIMEOUT", "30"))
    if (seconds := _number(get("core", "dagbag_import_timeout"))) < _SHORTEST_IMPORT_S:
        found = f"on a busy machine DAG files miss their import time-out of {seconds:g} s"
        yield warn("airflow", found, _set("CORE", "DAGBAG_IMPORT_TIMEOUT", "120"))


def own() -> Iterator[Finding]:
    """Every variable of ours holds a value that makes sense."""
    wrong = []
    for read in _readers():
        try:
            read()
        except InputRejected as error:
            wrong.append(failed("settings", error))
    yield from wrong or [ok("settings", "our variables hold values that make sense")]


def _readers() -> Iterator[Callable[[], object]]:
    # First: the Salesforce objects cannot be read without it.
    from include.vms.columns import time_zone as organisation_zone

    yield organisation_zone
    from include.operations.alerts.settings import Settings as AlertSettings
    from include.operations.backup.settings import BackupSettings
    from include.operations.housekeeping.settings import Retention
    from include.operations.housekeeping.tables import RULES
    from include.operations.watchdog.pipeline_checks import FRESHNESS
    from include.operations.watchdog.thresholds import THRESHOLDS, Fault, limit_from
    from include.organism.causal.choice import spark_rows
    from include.organism.graph_metrics.settings import MetricSettings
    from include.organism.interventions.settings import Settings as InterventionSettings
    from include.organism.settings import Settings
    from include.vms.salesforce.settings import reserve_share

    yield from (reserve_share, spark_rows)
    yield from (Settings.from_env, MetricSettings.from_env, InterventionSettings.from_env, AlertSettings.from_env)
    yield from (BackupSettings.from_env, Retention.from_env)
    yield from (rule.kept_days for rule in RULES)

    def limit(variable: str) -> None:
        if isinstance(found := limit_from(variable, 0, os.environ), Fault):
            raise InputRejected(found.text, what_to_do=f"correct {variable}, or leave it out")

    for variable in [*(each.variable for each in THRESHOLDS.values()), *(each.variable for each in FRESHNESS)]:
        yield partial(limit, variable)


def connections() -> Iterator[Finding]:
    """The connections that the pipelines cannot do without are there."""
    missing = [conn_id for conn_id in _NEEDED if not _exists(conn_id)]
    if missing:
        fix = f"export {', '.join(f'AIRFLOW_CONN_{conn_id.upper()}' for conn_id in missing)}, see docs/configuration.md"
        yield fail("connections", f"not there: {', '.join(missing)}", fix)
    else:
        yield ok("connections", f"{', '.join(_NEEDED)} are defined")


def time_zone() -> Iterator[Finding]:
    """This machine's own time zone: log lines and backups are easier to compare in UTC."""
    name, offset = time.tzname[0], -time.timezone
    if offset or time.daylight:
        yield ok("time zone", f"this machine is on {name}; everything stored and scheduled is in UTC")
    else:
        yield ok("time zone", "UTC")


def _exists(conn_id: str) -> bool:
    from airflow.sdk import Connection

    try:
        Connection.get(conn_id)
    except Exception as error:  # noqa: BLE001 - a backend that does not answer is found by the server's own check
        return type(error).__name__ != "AirflowNotFoundException"
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _set(section: str, name: str, value: str) -> str:
    return f"export AIRFLOW__{section}__{name}={value}"
