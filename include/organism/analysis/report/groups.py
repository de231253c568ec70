"""What the page shows of people: a histogram whose every bar holds enough of them, and published figures of teams."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import psycopg
    from numpy.typing import NDArray

# A bar with fewer would show single people at the edges; the floor for burnout, and so for all of this page.
LEAST: Final = 10
_BARS: Final = 24

_VALUES: Final = "select {} from organism.current_metrics where {} is not null"
_TEAMS: Final = """
select team, metric, mean from organism.team_metrics
where audience = 'everyone' and team <> '' and measured_at = (
    select max(measured_at) from organism.team_metrics where measured_at < %s)
order by team, metric
"""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bars of a distribution.

    Attributes:
        edges: one more than bars, in order; empty when there are too few people for two bars.
        counts: people of each bar, at least `least`.
        people: all people.
        least: what a bar must hold.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    people: int
    least: int = LEAST


@dataclass(frozen=True, slots=True)
class TeamTable:
    """Published means: `values[team][metric]`, NaN where suppressed."""

    teams: tuple[str, ...]
    metrics: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


def histogram(values: NDArray[np.float64], least: int = LEAST) -> Histogram:
    """Bars of equal width, each joined with its right neighbours until it holds `least` people.

    Borders are round figures: the largest value is one person's.
    """
    if len(values) < 2 * least:
        return Histogram((), (), len(values), least)
    width = _round_up(float(np.ptp(values)) / _BARS)
    first = math.floor(float(values.min()) / width)
    last = math.floor(float(values.max()) / width) + 1
    borders = np.array([float(f"{number * width:.12g}") for number in range(first, last + 1)])
    raw, _ = np.histogram(values, bins=borders)
    edges, counts, waiting = [float(borders[0])], [], 0
    for border, count in zip(borders[1:], raw, strict=True):
        waiting += int(count)
        if waiting >= least:
            edges.append(float(border))
            counts.append(waiting)
            waiting = 0
    # The rest is too small a bar of its own.
    edges[-1] = float(borders[-1])
    counts[-1] += waiting
    return Histogram(tuple(edges), tuple(counts), len(values), least)


def _round_up(number: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... and their tenths and hundredths; 1 for nothing."""
    if number <= 0:
        return 1.0
    power = float(10.0 ** math.floor(math.log10(number)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= number)


def current(connection: psycopg.Connection, metric: str) -> Histogram:
    """Distribution of a metric in the newest complete run."""
    from psycopg import sql

    name = sql.Identifier(metric)
    rows = connection.execute(sql.SQL(_VALUES).format(name, name)).fetchall()
    return histogram(np.array([row[0] for row in rows], dtype=np.float64))


def teams(connection: psycopg.Connection, measured_at: datetime) -> TeamTable:
    """Means of the newest publication before a run; what is suppressed there stays so.

    The run's own come after its page: a repeated run must not show others than the first.
    """
    rows = connection.execute(_TEAMS, [measured_at]).fetchall()
    means = {(team, metric): float("nan") if mean is None else float(mean) for team, metric, mean in rows}
    names = tuple(sorted({team for team, _ in means}))
    metrics = tuple(sorted({metric for _, metric in means}))
    values = tuple(tuple(means.get((team, metric), float("nan")) for metric in metrics) for team in names)
    return TeamTable(names, metrics, values)
