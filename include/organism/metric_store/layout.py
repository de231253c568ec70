"""How the tables that grow with time are laid out: chunks of TimescaleDB, or range partitions that we make and drop.

The migration decides by `timescaledb.license`, which is null on a plain PostgreSQL; from then on the table itself says
what it is. All intervals are whole days, counted from one Monday, so no calendar is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psycopg

ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)
# Serialises those who make partitions; any number that no other program on this database uses.
_LOCK: Final = 4_017_723_996
# A dropped partition needs its parent for a moment. Whoever reads it for longer is waited for by the next try.
_LOCK_TIMEOUT: Final = "10s"

_NATIVE: Final = "select relkind = 'p' from pg_class where oid = to_regclass(%s)"
_PARTITIONS: Final = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass(%s) order by 1
"""


@dataclass(frozen=True, slots=True)
class Series:
    """A table of schema `organism` that grows with time.

    Attributes:
        table: its name.
        column: its time column.
        days: days of a partition or chunk.
        kept_days: rows are kept at least so long; they go with their partition.
    """

    table: str
    column: str
    days: int
    kept_days: int

    @property
    def name(self) -> str:
        """With its schema."""
        return f"organism.{self.table}"

    def begin_of(self, moment: datetime) -> datetime:
        """Begin of the partition that holds a moment."""
        width = timedelta(days=self.days)
        return ORIGIN + (moment - ORIGIN) // width * width

    def partition(self, begin: datetime) -> str:
        """Name of the partition that begins then."""
        return f"{self.table}_{begin:%Y%m%d}"


RAW: Final = Series("employee_metrics", "measured_at", 7, 90)
HOURLY: Final = Series("employee_metrics_hourly", "bucket", 28, 730)
DAILY: Final = Series("employee_metrics_daily", "bucket", 91, 730)
TEAMS: Final = Series("team_metrics", "measured_at", 28, 730)
ALL: Final = (RAW, HOURLY, DAILY, TEAMS)


def edition(connection: psycopg.Connection) -> str | None:
    """TimescaleDB's edition in this database: `apache`, `timescale`; None: it is not there."""
    row = connection.execute("select current_setting('timescaledb.license', true)").fetchone()
    return row[0] if row else None


def make_room(connection: psycopg.Connection, series: Series, first: datetime, last: datetime | None = None) -> int:
    """Create the partitions that hold the time from `first` to `last`; returns how many were missing.

    Readers and writers are not held up: a partition is made apart and then attached. Chunks come by themselves.
    """
    from psycopg import sql

    if not _is_native(connection, series):
        return 0
    width = timedelta(days=series.days)
    begin, end = series.begin_of(first), series.begin_of(last or first)
    wanted = [begin + number * width for number in range((end - begin) // width + 1)]
    if not _missing(connection, series, wanted):
        return 0
    connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    missing = _missing(connection, series, wanted)
    for moment in missing:
        names = {
            "parent": sql.Identifier("organism", series.table),
            "child": sql.Identifier("organism", series.partition(moment)),
        }
        connection.execute(sql.SQL("create table {child} (like {parent} including all)").format(**names))
        connection.execute(
            sql.SQL("alter table {parent} attach partition {child} for values from ({begin}) to ({end})").format(
                **names, begin=sql.Literal(moment), end=sql.Literal(moment + width)
            )
        )
    return len(missing)


def drop_before(connection: psycopg.Connection, series: Series, before: datetime) -> int:
    """Drop the partitions or chunks whose every row is older than `before`; returns how many. Commits each.

    Raises:
        psycopg.errors.LockNotAvailable: somebody reads the table for long; what was dropped stays dropped.
    """
    from psycopg import sql

    connection.execute("select set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
    if not _is_native(connection, series):
        chunks = connection.execute(
            "select drop_chunks(%s::regclass, %s::timestamptz)", [series.name, before]
        ).fetchall()
        connection.commit()
        return len(chunks)
    newest = series.partition(series.begin_of(before))
    # Names of one table sort by time.
    old = [name for (name,) in connection.execute(_PARTITIONS, [series.name]).fetchall() if name < newest]
    for name in old:
        connection.execute(sql.SQL("drop table {}").format(sql.Identifier("organism", name)))
        connection.commit()
    return len(old)


def _is_native(connection: psycopg.Connection, series: Series) -> bool:
    row = connection.execute(_NATIVE, [series.name]).fetchone()
    if row is None:
        from include.operations.errors import ServerUnsupported

        raise ServerUnsupported(f"the table {series.name} is missing", what_to_do="run warehouse upgrade")
    return bool(row[0])


def _missing(connection: psycopg.Connection, series: Series, wanted: list[datetime]) -> list[datetime]:
    there = {name for (name,) in connection.execute(_PARTITIONS, [series.name]).fetchall()}
    return [moment for moment in wanted if series.partition(moment) not in there]
