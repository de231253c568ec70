"""Assessments into `organism.burnout_assessment`: one COPY, one transaction, harmless to repeat."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from include.organism.people_file import SHOWN_REFUSALS, Refusal, keep_refusals

if TYPE_CHECKING:
    from datetime import date

    import psycopg

    from include.organism.assessments.rows import Assessments

_STAGE: Final = """
create temporary table given
    (employee_id text, assessed_on date, instrument text, score double precision)
on commit drop
"""
_COPY: Final = "copy given (employee_id, assessed_on, instrument, score) from stdin"
# One load at a time: a withdrawal and an older score must not pass each other.
_LOCK: Final = "lock table organism.burnout_assessment in share row exclusive mode"
_WITHDRAW: Final = """
delete from organism.burnout_assessment as had
using given
where given.score is null and had.score is not null and had.employee_id = given.employee_id
    and had.instrument = given.instrument and had.assessed_on <= given.assessed_on
"""
# Nobody else does so for a temporary table; without, the server compares every row with every other.
_ANALYZE: Final = "analyze given"
# A score of a day before the withdrawal does not come back with an older file.
_MERGE: Final = """
with withdrawn as materialized (
    select employee_id, instrument, assessed_on from organism.burnout_assessment where score is null
    union all
    select employee_id, instrument, assessed_on from given where score is null
)
merge into organism.burnout_assessment as had
using (
    select given.* from given
    where given.score is null or not exists (
        select from withdrawn
        where withdrawn.employee_id = given.employee_id and withdrawn.instrument = given.instrument
            and withdrawn.assessed_on >= given.assessed_on)
) as given
on had.employee_id = given.employee_id and had.instrument = given.instrument and had.assessed_on = given.assessed_on
when matched and had.score is distinct from given.score then
    update set score = given.score, consent = given.score is not null, run_id = %(run)s, loaded_at = now()
when not matched then
    insert (employee_id, assessed_on, instrument, score, consent, run_id)
    values (given.employee_id, given.assessed_on, given.instrument, given.score, given.score is not null, %(run)s)
"""
_WAITING: Final = """
select count(*) from given
where score is not null and not exists (
    select from organism.burnout_assessment as kept
    where (kept.employee_id, kept.instrument, kept.assessed_on)
        = (given.employee_id, given.instrument, given.assessed_on) and kept.score is not null)
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a file.

    Attributes:
        rows: rows of the file.
        usable: of these, rows that could be used.
        written: rows that were new or had another score.
        scores_deleted: scores deleted because their person withdrew consent.
        after_withdrawal: scores that were not taken because a withdrawal of the same or a later day is known.
        refusals: every reason why a row was not used, in the order of the rows.
    """

    rows: int
    usable: int
    written: int
    scores_deleted: int
    after_withdrawal: int
    refusals: list[Refusal]

    def as_manifest(self) -> dict[str, Any]:
        """The figures, and the first refusals; no personal data."""
        return {
            "rows": self.rows,
            "usable": self.usable,
            "refused": self.rows - self.usable,
            "written": self.written,
            "scores_deleted": self.scores_deleted,
            "after_withdrawal": self.after_withdrawal,
            "refused_by_code": dict(sorted(Counter(refusal.code for refusal in self.refusals).items())),
            "refusals": [refusal._asdict() for refusal in self.refusals[:SHOWN_REFUSALS]],
        }


def today(connection: psycopg.Connection) -> date:
    """The newest day there is anywhere, by the warehouse's clock: it begins 14 hours before that of UTC."""
    row = connection.execute("select (now() at time zone 'UTC' + interval '14 hours')::date").fetchone()
    assert row is not None  # noqa: S101 - a query without a table gives one row
    found: date = row[0]
    return found


def load(connection: psycopg.Connection, given: Assessments, run_id: str) -> Loaded:
    """Write a file's rows in the connection's transaction; the same file again changes nothing.

    Raises:
        psycopg.Error: the warehouse refuses; nothing is written.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        with cursor.copy(_COPY) as copy:
            for each in given.usable:
                copy.write_row((each.person, each.day, each.instrument, each.score))
        cursor.execute(_ANALYZE)
        cursor.execute(_LOCK)
        deleted = cursor.execute(_WITHDRAW).rowcount
        written = cursor.execute(_MERGE, {"run": run_id}).rowcount
        after = cursor.execute(_WAITING).fetchone()
    keep_refusals(connection, "assessment_rejection", run_id, given.refusals)
    return Loaded(
        rows=given.rows,
        usable=len(given.usable),
        written=written,
        scores_deleted=deleted,
        after_withdrawal=after[0] if after else 0,
        refusals=sorted(given.refusals),
    )
