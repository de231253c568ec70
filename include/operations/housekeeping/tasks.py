"""The bodies of the tasks of `ops_housekeeping`: open the connections, call one function, return counts.

Drivers are imported inside: every parse of the DAG file imports this module.
"""

from __future__ import annotations

import logging
from typing import Any

from include.operations.log import log_event

log = logging.getLogger(__name__)
Manifest = dict[str, Any]


def back_up(source: str) -> Manifest:
    """Make a backup of a source and record it; returns its name and figures."""
    from include.connections import warehouse
    from include.operations.backup.service import Backups

    backups = Backups()
    made = backups.create(source)
    with warehouse() as connection:
        backups.record(connection, made.name)
    return {"backup": made.name, "rows": made.total, "bytes": made.size_bytes, "seconds": made.seconds}


def check_backup(made: Manifest) -> Manifest:
    """Prove that the backup holds what was backed up, and record that."""
    from include.connections import warehouse
    from include.operations.backup.service import Backups

    backups = Backups()
    restore_s = backups.check(made["backup"])
    with warehouse() as connection:
        backups.record_check(connection, made["backup"], restore_s)
    log_event(log, "backup_checked", backup=made["backup"], rows=made["rows"], restore_s=restore_s)
    return {"backup": made["backup"], "restore_s": restore_s}


def remove_old_backups() -> Manifest:
    """Remove backups that are past their time, but no source's newest good one."""
    from include.connections import warehouse
    from include.operations.backup.service import Backups

    with warehouse() as connection:
        gone = Backups().expire(connection)
    log_event(log, "old_backups_removed", count=len(gone))
    return {"removed": gone}


def clean_metadata(params: dict[str, Any]) -> Manifest:
    """Let `airflow db clean` delete what is old and counted by the statistics; skipped when nothing is old."""
    from airflow.sdk.exceptions import AirflowSkipException

    from include.connections import warehouse
    from include.operations.housekeeping import metadata
    from include.operations.housekeeping.settings import Retention

    days = params.get("metadata_days") or Retention.from_env().metadata_days
    with warehouse() as connection:
        before = metadata.clean_before(connection, days)
    if before is None:
        raise AirflowSkipException(f"nothing in the metadata is older than {days:g} days")
    dropped = metadata.clean(before)
    log_event(log, "metadata_cleaned", before=before, archives_dropped=len(dropped))
    return {"before": before.isoformat(), "archives_dropped": len(dropped)}


def prune_tables() -> Manifest:
    """Delete rows of our own tables that are past their time; drop old partitions and make those to come."""
    from include.connections import warehouse
    from include.operations.housekeeping import tables
    from include.organism.metric_store import retention

    with warehouse() as connection:
        deleted = tables.prune_tables(connection)
    with warehouse() as connection:
        measurements = retention.keep(connection)
    log_event(log, "tables_pruned", rows=sum(deleted.values()), tables=len(deleted))
    log_event(log, "measurements_pruned", **measurements)
    return {"deleted": deleted, "measurements": measurements}


def trim_stream() -> Manifest:
    """Remove stream entries that the graph has committed and nobody has to read any more."""
    from include.connections import neo4j_driver, redis_client
    from include.operations.housekeeping.settings import Retention
    from include.operations.housekeeping.stream import trim
    from include.organism.graph import PeopleGraph
    from include.organism.settings import Settings

    settings = Settings.from_env()
    with neo4j_driver() as (driver, database):
        ledger = PeopleGraph(driver, settings, database).ledger()
    if ledger is None:
        log_event(log, "stream_not_trimmed", why="no run has committed anything yet")
        return {"removed": 0}
    with redis_client() as client:
        done = trim(client, settings, ledger.watermark, Retention.from_env().stream_hours)
    level = logging.WARNING if done.held_by else logging.INFO
    log_event(
        log,
        "stream_trimmed",
        level=level,
        removed=done.removed,
        left=done.left,
        before=done.before,
        held_by=done.held_by or None,
    )
    return {"removed": done.removed, "left": done.left, "held_by": done.held_by or None}


def prune_logs() -> Manifest:
    """Remove Airflow's log files by age and size, but none of a run that goes on."""
    from pathlib import Path

    from airflow.sdk import conf

    from include.operations.housekeeping import logs
    from include.operations.housekeeping.settings import Retention
    from include.operations.metadata import metadata

    with metadata() as connection:
        unfinished = logs.unfinished_runs(connection)
    done = logs.prune_logs(Path(conf.get("logging", "base_log_folder")), Retention.from_env(), unfinished)
    log_event(log, "logs_pruned", files=done.files, bytes=done.bytes, left_bytes=done.left_bytes)
    return {"files": done.files, "bytes": done.bytes, "left_bytes": done.left_bytes}


def prune_state() -> Manifest:
    """Remove what demos and simulators have left in the folders of `UPKEEP_STATE_DIRS`."""
    from include.operations.housekeeping.files import prune
    from include.operations.housekeeping.settings import Retention, folders

    days = Retention.from_env().state_days
    done = [prune(folder, keep_days=days) for folder in folders("UPKEEP_STATE_DIRS")]
    files, freed = sum(each.files for each in done), sum(each.bytes for each in done)
    log_event(log, "state_pruned", files=files, bytes=freed)
    return {"files": files, "bytes": freed}
