"""Episodes in the warehouse: `ops.warning_episode`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from include.operations.watchdog.episodes import OVER, Episode, Key

if TYPE_CHECKING:
    import psycopg

# Any number that no other program on this database uses for the same purpose.
_LOCK: Final = 4_017_723_993
# Episode's fields and the table's columns have the same names, but for this one.
_COLUMN: Final = {"check": "check_id"}
_FIELDS: Final = tuple(field.name for field in fields(Episode) if field.name != "id")
_COLUMNS: Final = ", ".join(_COLUMN.get(name, name) for name in _FIELDS)
_VALUES: Final = ", ".join(f"%({name})s" for name in _FIELDS)
_SET: Final = ", ".join(f"{_COLUMN.get(name, name)} = %({name})s" for name in _FIELDS)

# Constants of this module, no values.
_SELECT: Final = f"select id, {_COLUMNS} from ops.warning_episode"  # noqa: S608
_INSERT: Final = f"insert into ops.warning_episode ({_COLUMNS}) values ({_VALUES})"  # noqa: S608
_UPDATE: Final = f"update ops.warning_episode set {_SET} where id = %(id)s"  # noqa: S608


def begin(connection: psycopg.Connection) -> dict[Key, Episode]:
    """Return the unfinished episodes; no other watchdog judges until this transaction ends."""
    connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    return {each.key: each for each in _read(connection, f"{_SELECT} where ended_at is null")}


def write(connection: psycopg.Connection, episodes: Iterable[Episode]) -> None:
    """Keep the episodes as they are now; a suspicion that came to nothing is forgotten."""
    for each in episodes:
        values = {name: getattr(each, name) for name in _FIELDS} | {"id": each.id, "detail": list(each.detail)}
        if each.state == OVER and each.opened_at is None:
            connection.execute("delete from ops.warning_episode where id = %(id)s", values)
        elif each.id is None:
            connection.execute(_INSERT, values)
        else:
            connection.execute(_UPDATE, values)


def to_warn(connection: psycopg.Connection) -> list[Episode]:
    """Warnings that nobody was told of yet, the oldest first."""
    return _read(connection, f"{_SELECT} where opened_at is not null and warned_at is null order by id")


def to_recover(connection: psycopg.Connection) -> list[Episode]:
    """Episodes that were told and are over, and whose end was not told yet."""
    where = (
        "where ended_at is not null and warned_at is not null and recovery_told_at is null and opened_at is not null"
    )
    return _read(connection, f"{_SELECT} {where} order by id")


def warned(connection: psycopg.Connection, episode: Episode, now: datetime) -> None:
    """Note that the warning was handed over."""
    connection.execute("update ops.warning_episode set warned_at = %s where id = %s", [now, episode.id])


def recovered(connection: psycopg.Connection, episode: Episode, now: datetime) -> None:
    """Note that the end was handed over."""
    connection.execute("update ops.warning_episode set recovery_told_at = %s where id = %s", [now, episode.id])


def _read(connection: psycopg.Connection, query: str) -> list[Episode]:
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        return [_episode(row) for row in cursor.execute(query)]


def _episode(row: dict[str, Any]) -> Episode:
    row["check"] = row.pop("check_id")
    return Episode(**row | {"detail": tuple(row["detail"])})
