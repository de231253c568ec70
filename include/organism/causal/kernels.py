"""Sums over whole people, from which every estimate is computed; they add up over any partition of the people.

Only numpy is used: the local engine calls these functions, and Spark's workers get this very module by value, so that
both compute the same. Symbols: `q` columns of numbers (the outcome first), `p` = q - 1 regressors, `T` periods.

The two-way within transformation is exact for unbalanced panels. People's means are taken off row by row; what is left
of the period dummies, `D`, is solved through the T x T matrix D'D, which is a sum over people, too: rows of each period
on the diagonal, less `crossed` below (the Schur complement of the normal equations after the person effects).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows worked on at a time: they fit the processor's cache.
_BLOCK = 32_768


@dataclass(frozen=True, slots=True)
class People:
    """Rows of whole people, sorted by person."""

    starts: Ints
    """First row of each person, and the number of rows at the end: people + 1 numbers."""
    period: Ints
    """0..T-1, rows."""
    values: Floats
    """rows x q, in C order."""
    cluster: NDArray[Any] | None
    """The cluster of each row; None when each person is a cluster."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.period)


@dataclass(frozen=True, slots=True)
class Keyed:
    """Sums by cluster, for clusters that may be spread over several parts."""

    keys: NDArray[Any]
    sums: Floats
    """clusters x (p + 1): the scores, then the squared residual of the treatment."""

    def __add__(self, other: Keyed) -> Keyed:
        return by_key(np.concatenate([self.keys, other.keys]), np.concatenate([self.sums, other.sums]))


class _Added:
    """Two parts make a whole by adding each field."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return type(self)(*(None if mine is None else mine + his for mine, his in pairs))


@dataclass(frozen=True, slots=True)
class Moments(_Added):
    """What the first pass over the rows adds up."""

    rows: int
    people: int
    duplicates: int
    """Rows too many for a person and period."""
    varying: int
    """People whose treatment is not constant."""
    wandering: int
    """People with rows in more than one cluster."""
    period_rows: Floats
    """T: rows of each period."""
    crossed: Floats
    """T x T: the sum of d d' / n, where d says in which of the periods a person has a row, and n how many."""
    by_period: Floats
    """T x q: the sums, by period, of the values less the person's mean."""
    within: Floats
    """q x q: cross products of the values less the person's mean."""
    total: Floats
    """q: sums of the values less `shift`."""
    products: Floats
    """q x q: cross products of the values less `shift`."""


class Design(NamedTuple):
    """How rows become residuals in the second pass."""

    columns: tuple[int, ...]
    """The columns used: the outcome, then p regressors."""
    shift: Floats
    """q' numbers taken off, one a column used."""
    effects: Floats | None
    """T x q': what of each period is taken off before the person's mean is; None: neither is (pooled regression)."""
    beta: Floats
    """p coefficients."""
    pivot: Floats
    """p numbers: x @ pivot is the treatment less what the other regressors explain of it."""


@dataclass(frozen=True, slots=True)
class Scores(_Added):
    """What the second pass adds up for one design."""

    gram: Floats
    """q' x q': cross products of the residualised outcome and regressors."""
    residual: float
    """Sum of the squared residuals."""
    score: Floats
    """p: X'e; zero at the solution, so what is left of it is the rounding to be corrected."""
    meat: Floats
    """p x p: the sum over people of s s', where s = X'e of a person; clusters of several people are in `keyed`."""
    weight: float
    """Sum over people of w, the squares of the treatment's residual: how much each contributes to the estimate."""
    weight_squared: float
    """Sum over people of w squared."""
    keyed: Keyed | None
    """Scores by cluster, when clusters are given."""


def people(
    person: Ints,
    period: Ints,
    values: Floats,
    cluster: NDArray[Any] | None = None,
    excluded: NDArray[np.bool_] | None = None,
    single: bool = False,
) -> People:
    """Sort rows by person; leave out `excluded` periods (T flags) and, unless `single`, people with one row."""
    if excluded is not None and excluded.any():
        kept = ~excluded[period]
        person, period, values = person[kept], period[kept], values[kept]
        cluster = None if cluster is None else cluster[kept]
    if len(person) and np.any(np.diff(person) < 0):
        order = np.argsort(person, kind="stable")
        person, period, values = person[order], period[order], values[order]
        cluster = None if cluster is None else cluster[order]
    first = np.flatnonzero(np.diff(person, prepend=person[:1] - 1))
    counts = np.diff(first, append=len(person))
    if not single and np.any(counts == 1):
        kept = np.repeat(counts > 1, counts)
        period, values = period[kept], values[kept]
        cluster = None if cluster is None else cluster[kept]
        counts = counts[counts > 1]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return People(starts, period.astype(np.int64, copy=False), np.ascontiguousarray(values, dtype=float), cluster)


def moments(rows: People, periods: int, shift: Floats) -> Moments:
    """Add up the first pass. `shift` (q numbers, near the means) keeps the sums of products from losing digits."""
    q = rows.values.shape[1]
    period_rows, crossed = np.zeros(periods), np.zeros((periods, periods))
    by_period, within = np.zeros((periods, q)), np.zeros((q, q))
    total, products = np.zeros(q), np.zeros((q, q))
    duplicates = varying = wandering = 0
    for begin, end, starts, counts in _blocks(rows):
        values = rows.values[begin:end] - shift
        period = rows.period[begin:end]
        demeaned = values - np.repeat(np.add.reduceat(values, starts) / counts[:, None], counts, axis=0)
        present = np.zeros((len(counts), periods))
        present[np.repeat(np.arange(len(counts)), counts), period] = 1.0
        duplicates += end - begin - int(present.sum())
        present /= np.sqrt(counts)[:, None]
        crossed += present.T @ present
        period_rows += np.bincount(period, minlength=periods)
        by_period += _sums_by(period, demeaned, periods)
        within += demeaned.T @ demeaned
        total += values.sum(axis=0)
        products += values.T @ values
        varying += _differing(rows.values[begin:end, 1], starts)
        if rows.cluster is not None:
            wandering += _differing(np.unique(rows.cluster[begin:end], return_inverse=True)[1], starts)
    return Moments(
        rows=rows.rows,
        people=len(rows.starts) - 1,
        duplicates=duplicates,
        varying=varying,
        wandering=wandering,
        period_rows=period_rows,
        crossed=crossed,
        by_period=by_period,
        within=within,
        total=total,
        products=products,
    )


def scores(rows: People, design: Design) -> Scores:
    """Add up the second pass of one design."""
    width = len(design.columns)
    gram, score, meat = np.zeros((width, width)), np.zeros(width - 1), np.zeros((width - 1, width - 1))
    residual = weight = weight_squared = 0.0
    found: list[Keyed] = []
    chosen = slice(None) if design.columns == tuple(range(rows.values.shape[1])) else list(design.columns)
    for begin, end, starts, counts in _blocks(rows):
        values = rows.values[begin:end, chosen] - design.shift
        if design.effects is not None:
            values -= design.effects[rows.period[begin:end]]
            values -= np.repeat(np.add.reduceat(values, starts) / counts[:, None], counts, axis=0)
        regressors = values[:, 1:]
        error = values[:, 0] - regressors @ design.beta
        pivot = regressors @ design.pivot
        gram += values.T @ values
        residual += float(error @ error)
        parts = np.empty_like(values)
        np.multiply(regressors, error[:, None], out=parts[:, :-1])
        np.multiply(pivot, pivot, out=parts[:, -1])
        sums = np.add.reduceat(parts, starts)
        score += sums[:, :-1].sum(axis=0)
        meat += sums[:, :-1].T @ sums[:, :-1]
        weight += float(sums[:, -1].sum())
        weight_squared += float(sums[:, -1] @ sums[:, -1])
        if rows.cluster is not None:
            found.append(by_key(rows.cluster[begin:end], parts))
    keyed = None
    if rows.cluster is not None:
        none = Keyed(rows.cluster[:0], np.zeros((0, width)))
        keyed = by_key(
            np.concatenate([none.keys, *(part.keys for part in found)]),
            np.concatenate([none.sums, *(part.sums for part in found)]),
        )
    return Scores(gram, residual, score, meat, weight, weight_squared, keyed)


def residuals(rows: People, effects: Floats) -> Floats:
    """The within-transformed values themselves, rows x q: less the period's `effects` (T x q) and the person's mean."""
    left = rows.values - effects[rows.period]
    counts = np.diff(rows.starts)
    if not len(counts):
        return left
    means = np.add.reduceat(left, rows.starts[:-1]) / counts[:, None]
    result: Floats = left - np.repeat(means, counts, axis=0)
    return result


def pack(part: Moments | Scores) -> bytes:
    """Sums as bytes, so that they travel without any class."""
    found: dict[str, Any] = {f.name: getattr(part, f.name) for f in fields(part)}
    keyed = found.pop("keyed", None)
    if keyed is not None:
        found |= {"keys": keyed.keys, "sums": keyed.sums}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **found)
    return buffer.getvalue()


def unpack_moments(data: bytes) -> Moments:
    """Read what `pack` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return Moments(**{f.name: _scalar(found[f.name]) for f in fields(Moments)})


def unpack_scores(data: bytes) -> Scores:
    """Read what `pack` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        values = {f.name: _scalar(found[f.name]) for f in fields(Scores) if f.name != "keyed"}
        keyed = Keyed(found["keys"], found["sums"]) if "keys" in found else None
    return Scores(**values, keyed=keyed)


def _scalar(value: NDArray[Any]) -> Any:
    return value if value.ndim else value.item()


def by_key(keys: NDArray[Any], values: Floats) -> Keyed:
    """Sums of `values` (rows x columns) by key, keys sorted."""
    unique, inverse = np.unique(keys, return_inverse=True)
    return Keyed(unique, _sums_by(inverse, values, len(unique)))


def _blocks(rows: People) -> Iterator[tuple[int, int, Ints, Ints]]:
    """Whole people, about `_BLOCK` rows at a time: first row, row after the last, starts within them, counts."""
    person, last = 0, len(rows.starts) - 1
    while person < last:
        after = int(np.searchsorted(rows.starts, rows.starts[person] + _BLOCK, side="right")) - 1
        after = min(max(after, person + 1), last)
        begin, end = int(rows.starts[person]), int(rows.starts[after])
        starts = rows.starts[person:after] - begin
        yield begin, end, starts, np.diff(rows.starts[person : after + 1])
        person = after


def _sums_by(index: NDArray[Any], values: Floats, size: int) -> Floats:
    sums = np.empty((size, values.shape[1]))
    for column in range(values.shape[1]):
        sums[:, column] = np.bincount(index, values[:, column], size)
    return sums


def _differing(column: NDArray[Any], starts: Ints) -> int:
    """Groups of rows in which the column takes more than one value."""
    return int(np.count_nonzero(np.maximum.reduceat(column, starts) != np.minimum.reduceat(column, starts)))
