"""The body of the task that loads assessments. Drivers are imported inside: every parse imports this."""

from __future__ import annotations

import logging
from typing import Any

from include.connections import warehouse
from include.operations.errors import InputRejected
from include.operations.log import log_event

log = logging.getLogger(__name__)


def load_assessments(run_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """Load scores and withdrawals; refused rows go to `organism.assessment_rejection`.

    Returns:
        Counts, and at most 20 refusals (row, field, code, reason) without any value of a row.

    Raises:
        InputRejected: there is not exactly one source, it is no such file, or not one of its rows can be used.
        psycopg.Error: the warehouse cannot be reached or refuses; nothing is written.
    """
    from include.organism import people_file
    from include.organism.assessments import load, rows
    from include.organism.privacy.incoming import admit_assessments
    from include.organism.privacy.pseudonym import Pseudonyms

    source = people_file.given_text(params, rows.LAYOUT.what)
    with warehouse() as connection:
        given = rows.parse(source, people_file.Format(params["format"]), today=load.today(connection))
        given = admit_assessments(connection, given, Pseudonyms.from_env())
        loaded = load.load(connection, given, run_id).as_manifest()
    for code, count in loaded["refused_by_code"].items():
        log_event(log, "assessment_rows_refused", level=logging.WARNING, code=code, count=count)
    if loaded["refused"] and not loaded["usable"]:
        raise InputRejected(
            f"not one of the {loaded['rows']} rows can be used",
            what_to_do="read the reasons in organism.assessment_rejection and correct the file",
        )
    return loaded
