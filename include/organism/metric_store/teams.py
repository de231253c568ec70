"""Publishes a run's means of teams, of the whole organisation and of its audiences: `organism.team_metrics`.

`cohorts` decides about whom. Metrics that are defined for the same people share the decision; each of the others has
its own. All cohorts are remembered for a year in `organism.team_cohort`, which nobody but this module reads.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.faults import fault_point
from include.organism.metric_store.cohorts import EVERYONE, WHOLE, Choice, Draw, Group, Label, Past, choose
from include.organism.metric_store.columns import ALWAYS, METRICS, SOMETIMES
from include.organism.privacy.groups import minimum_group

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import psycopg
    from numpy.typing import NDArray

REMEMBERED: Final = timedelta(days=365)
NETWORK: Final = "network"
# The metrics that one decision is for. What is always defined is defined for the same people.
FAMILIES: Final[Mapping[str, Sequence[str]]] = {NETWORK: ALWAYS, **{metric: (metric,) for metric in SOMETIMES}}
_AUDIENCES: Final = (("managers", True), ("others", False))
# Two runs that publish at once would each look past the other.
_LOCK: Final = 4_017_723_997

_READ: Final = """
copy (select employee_id, team, is_manager, {} from organism.employee_metrics as measured
  where measured_at = {}
    and not exists (select from organism.excluded_person where employee_id = measured.employee_id))
to stdout (format csv)
"""
_COHORTS: Final = """
select cohort_id, members from organism.team_cohort where family = %s and last_published_at >= %s
"""
# Of each label the newest number; a repeated run finds its own first.
_LATEST: Final = """
select distinct on (team, audience) team, audience, cohort_id from organism.team_metrics
where metric = %s and cohort_id is not null and measured_at >= %s
order by team, audience, measured_at = %s desc, measured_at desc
"""
_REMEMBER: Final = """
insert into organism.team_cohort as known (family, members, digest, first_published_at, last_published_at)
values (%(family)s, %(members)s, %(digest)s, %(at)s, %(at)s)
on conflict (family, digest) do update set
  first_published_at = least(known.first_published_at, excluded.first_published_at),
  last_published_at = greatest(known.last_published_at, excluded.last_published_at)
returning cohort_id
"""
_TAKE_BACK: Final = "delete from organism.team_metrics where measured_at = %s"
_COPY: Final = """
copy organism.team_metrics (team, audience, metric, measured_at, n, mean, suppressed, cohort_id) from stdin
"""
_PUBLISHED: Final = "update organism.metric_run set published_at = now() where measured_at = %s"


@dataclass(frozen=True, slots=True)
class Published:
    """Numbers of one run.

    Attributes:
        numbers: means that were published.
        suppressed: means that were not, by reason.
    """

    numbers: int
    suppressed: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Measured:
    """A run's people, one row each; person i of a mask is row i."""

    ids: list[str]
    teams: list[str]
    is_manager: NDArray[np.bool_]
    values: pl.DataFrame


def publish(connection: psycopg.Connection, measured_at: datetime, epoch: int) -> Published:
    """Replace the run's published numbers, in one transaction. Commits.

    Args:
        connection: the warehouse.
        measured_at: the run's logical time.
        epoch: what `writer.begin` gave to this try of the run.

    Raises:
        LeaseLost: a later try of the run has begun; nothing was written.
        InputRejected: a minimum group is set below the floor.
    """
    from include.organism.metric_store.writer import lock_run

    minimums = {family: minimum_group(metrics[0]) for family, metrics in FAMILIES.items()}
    lock_run(connection, measured_at, epoch)
    connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    measured = _read(connection, measured_at)
    rows: list[tuple[Any, ...]] = []
    for family, metrics in FAMILIES.items():
        rows += _family(connection, measured, family, metrics, minimums[family], measured_at)
    return _write(connection, rows, measured_at)


def _write(connection: psycopg.Connection, rows: list[tuple[Any, ...]], measured_at: datetime) -> Published:
    from include.organism.metric_store import layout

    layout.make_room(connection, layout.TEAMS, measured_at)
    connection.execute(_TAKE_BACK, [measured_at])
    with connection.cursor().copy(_COPY) as copy:
        for row in rows:
            copy.write_row(row)
    connection.execute(_PUBLISHED, [measured_at])
    fault_point("teams.in_transaction")
    connection.commit()
    reasons = [row[6] for row in rows if row[6] is not None]
    return Published(len(rows) - len(reasons), {reason: reasons.count(reason) for reason in sorted(set(reasons))})


def _family(
    connection: psycopg.Connection,
    measured: _Measured,
    family: str,
    metrics: Sequence[str],
    k: int,
    measured_at: datetime,
) -> list[tuple[Any, ...]]:
    """Rows of `team_metrics` for the metrics of one family; remembers their cohorts."""
    since = measured_at - REMEMBERED
    defined = measured.values[metrics[0]].is_not_null().to_list()
    if not any(defined):
        return []
    people = {person: number for number, person in enumerate(measured.ids)}
    known: dict[int, int] = {}
    for cohort_id, members in connection.execute(_COHORTS, [family, since]).fetchall():
        known[cohort_id] = _mask([people.setdefault(person, len(people)) for person in members])
    latest: dict[Label, int] = {
        (team, audience): known[cohort_id]
        for team, audience, cohort_id in connection.execute(_LATEST, [metrics[0], since, measured_at]).fetchall()
        if cohort_id in known
    }
    groups = _groups(measured, defined)
    everybody = next(group.members for group in groups if group.label == (WHOLE, EVERYONE))
    choices, unions = choose(groups, Past(known.values(), latest), everybody, k, _lots(measured.ids, measured_at))
    numbers: dict[int, int] = {}
    for cohort in sorted({choice.cohort for choice in choices if choice.cohort is not None} | unions):
        numbers[cohort] = _remember(connection, family, [measured.ids[place] for place in _places(cohort)], measured_at)
    return [row for choice in choices for row in _rows(measured, choice, metrics, numbers, measured_at)]


def _groups(measured: _Measured, defined: list[bool]) -> list[Group]:
    """Every group of people with a value: the teams, the whole, managers and others."""
    teams: dict[str, list[int]] = {team: [] for team in measured.teams if team}
    for place, team in enumerate(measured.teams):
        if team and defined[place]:
            teams[team].append(place)
    everybody = [place for place, there in enumerate(defined) if there]
    groups = [Group((team, EVERYONE), _mask(places)) for team, places in teams.items()]
    groups.append(Group((WHOLE, EVERYONE), _mask(everybody)))
    for audience, manages in _AUDIENCES:
        chosen = [place for place in everybody if measured.is_manager[place] == manages]
        groups.append(Group((WHOLE, audience), _mask(chosen)))
    return groups


def _rows(
    measured: _Measured, choice: Choice, metrics: Sequence[str], numbers: Mapping[int, int], measured_at: datetime
) -> list[tuple[Any, ...]]:
    team, audience = choice.group.label
    if choice.cohort is None:
        return [(team, audience, metric, measured_at, None, None, choice.reason, None) for metric in metrics]
    places = _places(choice.cohort)
    means = measured.values.select(metrics)[places].mean().row(0)
    return [
        (team, audience, metric, measured_at, len(places), mean, None, numbers[choice.cohort])
        for metric, mean in zip(metrics, means, strict=True)
    ]


def _remember(connection: psycopg.Connection, family: str, members: list[str], measured_at: datetime) -> int:
    values = {"family": family, "members": members, "digest": cohort_digest(members), "at": measured_at}
    row = connection.execute(_REMEMBER, values).fetchone()
    if row is None:
        raise AssertionError("an upsert gives one row")
    return int(row[0])


def cohort_digest(members: Sequence[str]) -> bytes:
    """SHA-256 by which a set of people is found again."""
    return hashlib.sha256("\0".join(sorted(members)).encode()).digest()


def _read(connection: psycopg.Connection, measured_at: datetime) -> _Measured:
    import polars as pl
    from psycopg import sql

    fault_point("teams.before_read")
    columns = sql.SQL(", ").join(map(sql.Identifier, METRICS))
    with connection.cursor().copy(sql.SQL(_READ).format(columns, sql.Literal(measured_at))) as copy:
        text = b"".join(copy)
    kinds: dict[str, type[pl.DataType]] = {"employee_id": pl.String, "team": pl.String, "is_manager": pl.String}
    kinds |= dict.fromkeys(METRICS, pl.Float64)
    frame = pl.read_csv(io.BytesIO(text), has_header=False, schema=kinds) if text else pl.DataFrame(schema=kinds)
    # Rows come in any order; lots and sums must not depend on it.
    frame = frame.sort("employee_id")
    return _Measured(
        frame["employee_id"].to_list(),
        frame["team"].fill_null(WHOLE).to_list(),
        (frame["is_manager"] == "t").to_numpy(),
        frame.select(METRICS),
    )


def _mask(places: Sequence[int]) -> int:
    """A set of places as a bit mask."""
    import numpy as np

    if not places:
        return 0
    bits = np.zeros(max(places) + 1, dtype=np.uint8)
    bits[list(places)] = 1
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def _places(mask: int) -> list[int]:
    """The places of a mask, ascending."""
    import numpy as np

    packed = np.frombuffer(mask.to_bytes((mask.bit_length() + 7) // 8, "little"), dtype=np.uint8)
    places: list[int] = np.flatnonzero(np.unpackbits(packed, bitorder="little")).tolist()
    return places


def _lots(ids: Sequence[str], measured_at: datetime) -> Draw:
    """Lots that a repeated run draws again: people in the order of a digest of run, attempt and id."""

    def draw(mask: int, count: int, attempt: int) -> int:
        def rank(place: int) -> bytes:
            return hashlib.sha256(f"{measured_at.isoformat()}|{attempt}|{ids[place]}".encode()).digest()

        return _mask(sorted(_places(mask), key=rank)[:count])

    return draw
