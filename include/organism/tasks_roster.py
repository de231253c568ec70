"""The body of the roster's Airflow task. Drivers are imported inside: every parse of the DAG file imports this."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from include.connections import neo4j_driver, redis_client, warehouse
from include.operations.errors import InputRejected
from include.operations.log import log_event

if TYPE_CHECKING:
    from include.organism.roster_load import Loaded

log = logging.getLogger(__name__)


def load_roster(run_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """Load people, teams, managers and flags; refused rows go to `organism.roster_rejection`.

    Returns:
        Counts, and at most 20 refusals (row, field, code, reason) without any value of a row.

    Raises:
        InputRejected: there is not exactly one source, it is no roster, or not one of its rows can be used.
    """
    from include.organism import people_file, roster, roster_load
    from include.organism.privacy import choices
    from include.organism.privacy.graph import left_out
    from include.organism.privacy.incoming import admit_roster
    from include.organism.privacy.pseudonym import Pseudonyms
    from include.organism.roster_graph import RosterGraph

    people = roster.parse(people_file.given_text(params, "roster"), people_file.Format(params["format"]))
    with redis_client() as client, neo4j_driver() as (driver, database):
        graph, pseudonyms = RosterGraph(driver, database), Pseudonyms.from_env()
        with driver.session(database=database) as session:
            people = admit_roster(people, pseudonyms, left_out(session, pseudonyms))
        if params["dry_run"]:
            loaded = roster_load.rehearse(graph, people)
        else:
            loaded = roster_load.load(client, graph, people, run_id)
    with warehouse() as connection:
        people_file.keep_refusals(connection, "roster_rejection", run_id, loaded.refusals)
        if not params["dry_run"]:
            choices.from_roster(connection, people.people)
    _report(loaded, dry_run=params["dry_run"])
    return loaded.as_manifest()


def _report(loaded: Loaded, *, dry_run: bool) -> None:
    figures = loaded.as_manifest()
    del figures["refusals"]
    for code, count in figures.pop("refused_by_code").items():
        log_event(log, "roster_rows_refused", level=logging.WARNING, code=code, count=count)
    log_event(log, "roster_checked" if dry_run else "roster_loaded", **figures)
    if loaded.refused and not loaded.loaded:
        raise InputRejected(
            f"not one of the {loaded.rows} rows of the roster can be used",
            what_to_do="read the reasons in organism.roster_rejection and correct the file",
        )
