"""One row in `ops.run_error` for each failed try of a task. What they add up to: `error_summary`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.context import PLACE
from include.operations.errors import Classification, ErrorClass, PipelineError
from include.operations.scrub import scrub

if TYPE_CHECKING:
    import psycopg

_LONGEST_MESSAGE: Final = 300
_LONGEST_VALUE: Final = 120

# What stands in quotes in the message of a library may be a value of the data.
_QUOTED: Final = re.compile(r"""(["'`])(?:\\.|(?!\1).)*(?:\1|$)""")
# Of a broken constraint PostgreSQL quotes its name in the first line; the values are in the detail.
_CONSTRAINT: Final = re.compile(r"23[0-9A-Z]{3}")

#: Code of the row of a try that ended without an exception.
LOST: Final = "PROCESS_LOST"

_COLUMNS: Final = (
    "dag_id", "run_id", "task_id", "map_index", "try_number", "occurred_at", "fingerprint", "error_class", "code",
    "exception", "service", "object", "message", "context", "transient", "next_step", "retry_in_s", "what_to_do",
)  # fmt: skip
_KEY: Final = _COLUMNS[:5]
_WRITE: Final = f"""
insert into ops.run_error ({", ".join(_COLUMNS)}) values ({", ".join(f"%({name})s" for name in _COLUMNS)})
on conflict ({", ".join(_KEY)}) do update
set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[5:])}
"""  # noqa: S608 - the column names are the constants above

# A try that wrote neither its error nor its usage ended without a word.
_WRITE_LOST: Final = """
insert into ops.run_error
  (dag_id, run_id, task_id, map_index, try_number, occurred_at, fingerprint, error_class, code, exception, message,
   transient, next_step, what_to_do)
select %(dag_id)s, %(run_id)s, %(task_id)s, %(map_index)s, %(try_number)s, %(occurred_at)s, 'process-lost',
       'UNKNOWN', %(code)s, '', 'this try left no error of its own: its process was killed, or failed before its code',
       true, %(next_step)s,
       'Look for memory running out, a host that went away or a restart of the scheduler at that time.'
where not exists (
  select from ops.task_usage u
  where (u.dag_id, u.run_id, u.task_id, u.map_index, u.try_number)
      = (%(dag_id)s, %(run_id)s, %(task_id)s, %(map_index)s, %(try_number)s))
on conflict do nothing
"""
# It had lost only its scheduler, or waited for the warehouse.
_FOUND_AGAIN: Final = """
delete from ops.run_error
where (dag_id, run_id, task_id, map_index, try_number)
    = (%(dag_id)s, %(run_id)s, %(task_id)s, %(map_index)s, %(try_number)s) and code = %(code)s
"""


def row(
    place: Mapping[str, Any],
    error: BaseException,
    found: Classification,
    fields: Mapping[str, object],
    retry_in: timedelta | None,
    *,
    now: datetime | None = None,
) -> dict[str, Any]:
    """The row of a failed try, with values that JSON can carry.

    Args:
        place: dag_id, run_id, task_id, map_index and try_number.
        error: what ended the try.
        found: how it is classified.
        fields: what was bound when it was raised; `service` and `object` have columns of their own.
        retry_in: time until the next try; None: there is none.
        now: the moment of the failure.
    """
    extra = {name: _value(value) for name, value in fields.items() if name not in (*PLACE, "service", "object")}
    about = fields.get("object")
    return {
        **place,
        "occurred_at": (now or datetime.now(UTC)).isoformat(),
        "fingerprint": found.fingerprint,
        "error_class": str(found.error_class),
        "code": found.code,
        "exception": found.exception,
        "service": found.service or fields.get("service"),
        "object": None if about is None else str(_value(about)),
        "message": message(error, found),
        "context": extra,
        "transient": found.transient,
        "next_step": "fail" if retry_in is None else "retry",
        "retry_in_s": None if retry_in is None else round(retry_in.total_seconds(), 3),
        "what_to_do": _clean(found.what_to_do, _LONGEST_MESSAGE),
    }


def message(error: BaseException, found: Classification) -> str:
    """What the error says, fit to be stored and sent: one line, without secrets and without values of the data.

    The further lines of a message are where servers put the row at fault.
    """
    said = error.args[0] if isinstance(error, PipelineError) else str(error)
    lines = str(said).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    of_data = found.error_class in (ErrorClass.VALIDATION, ErrorClass.UNKNOWN) and not _CONSTRAINT.match(found.code)
    if of_data and not isinstance(error, PipelineError):
        text = _QUOTED.sub("'***'", text)
    return _clean(text, _LONGEST_MESSAGE)


def _clean(text: str, limit: int) -> str:
    # PostgreSQL's text and jsonb cannot hold a NUL.
    return scrub(text.replace("\x00", ""), limit=limit)


def _value(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    return _clean(str(value), _LONGEST_VALUE)


def write(connection: psycopg.Connection, values: Mapping[str, Any]) -> None:
    """Insert the row, or replace the one of the same try."""
    from psycopg.types.json import Jsonb

    connection.execute(_WRITE, {**values, "context": Jsonb(values["context"])})


def write_lost(connection: psycopg.Connection, lost: Mapping[str, Any]) -> bool:
    """Add the row of a try that left neither error nor usage: its process was killed. Returns whether it was missing.

    `lost` has the place of the try, `next_step` (retry or fail: what Airflow did then) and `occurred_at`.
    """
    return connection.execute(_WRITE_LOST, {**lost, "code": LOST}).rowcount == 1


def forget_lost(connection: psycopg.Connection, place: Mapping[str, Any]) -> None:
    """Take back that a try was lost: it has ended by itself after all."""
    connection.execute(_FOUND_AGAIN, {**place, "code": LOST})
