"""What an estimate says of a change that could be made: mean outcomes before and after, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from include.operations.errors import InputRejected
from include.organism.causal.inference import effect
from include.organism.causal.spec import Effect, Fit, Refused

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one column, for everybody or for the `top` people by another column."""

    column: str
    """The treatment or a confounder."""
    how: Literal["multiply", "add", "set", "cap"]
    amount: float
    top: int | None = None
    """Only so many people: those with the largest `by`..."""
    by: str | None = None
    unless: str | None = None
    """...among those for whom this column is false or 0."""


# The scenarios of the original platform.
SCENARIOS: Final[dict[str, tuple[Change, ...]]] = {
    "meeting_cap_50": (Change("degree_centrality", "multiply", 0.5),),
    "promote_hubs": (Change("is_manager", "set", 1.0, top=3, by="degree_centrality", unless="is_manager"),),
}


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Means over all people of the rows given; the rows are taken as they are, only the effect is uncertain."""

    baseline_mean: float
    new_mean: float
    delta: Effect
    """New minus baseline."""
    percent: float | None
    """Delta in percent of the baseline; None when that is 0."""
    people: int
    """Whose values change."""
    outside: float
    """Share of them whose new value lies outside the range seen in the rows: there the estimate is an extrapolation."""


def counterfactual(fit: Fit, rows: pl.DataFrame, outcome: str, changes: Sequence[Change]) -> Counterfactual | Refused:
    """Apply changes to rows (one per person, say those of the newest period).

    Raises:
        InputRejected: a column is missing.
    """
    import polars as pl

    missing = {c for change in changes for c in (change.column, change.by, change.unless) if c} - set(rows.columns)
    if missing or outcome not in rows.columns:
        raise InputRejected(
            f"The rows of the counterfactual have no column {min(missing | {outcome})}.",
            what_to_do="give rows with the outcome and all columns the changes name",
        )
    if not set(fit.names).issuperset(change.column for change in changes):
        unknown = sorted({change.column for change in changes} - set(fit.names))
        return Refused.because("not_estimated", f"(Unknown: the effect of {', '.join(unknown)}.)")
    needed = [outcome, *dict.fromkeys(change.column for change in changes)]
    rows = rows.with_columns(pl.col(needed).cast(pl.Float64).fill_nan(None)).drop_nulls(needed)
    if rows.is_empty():
        return Refused.because("no_rows")
    new = rows
    for change in changes:
        new = new.with_columns(
            pl.when(_chosen(rows, change)).then(_changed(change)).otherwise(change.column).alias(change.column)
        )
    amounts = {name: float((new[name] - rows[name]).mean() or 0.0) for name in needed[1:]}  # type: ignore[arg-type]
    delta = effect(fit, fit.weights(amounts))
    touched = pl.any_horizontal(new[name] != rows[name] for name in needed[1:])
    outside = pl.any_horizontal((new[name] < rows[name].min()) | (new[name] > rows[name].max()) for name in needed[1:])
    counts = pl.select(touched.sum().alias("touched"), (touched & outside).sum().alias("outside")).row(0, named=True)
    baseline = float(rows[outcome].mean())  # type: ignore[arg-type]
    return Counterfactual(
        baseline_mean=baseline,
        new_mean=baseline + delta.estimate,
        delta=delta,
        percent=100 * delta.estimate / baseline if baseline else None,
        people=counts["touched"],
        outside=counts["outside"] / counts["touched"] if counts["touched"] else 0.0,
    )


def _changed(change: Change) -> pl.Expr:
    import polars as pl

    value = pl.col(change.column)
    match change.how:
        case "multiply":
            return value * change.amount
        case "add":
            return value + change.amount
        case "set":
            return pl.lit(change.amount)
        case "cap":
            return pl.min_horizontal(value, pl.lit(change.amount))


def _chosen(rows: pl.DataFrame, change: Change) -> pl.Series:
    """Whom the change concerns."""
    import polars as pl

    able = pl.repeat(value=True, n=len(rows), eager=True)
    if change.unless is not None:
        able = rows[change.unless].cast(pl.Float64).fill_null(0.0) == 0
    if change.top is None:
        return able
    by = rows[change.by or change.column].cast(pl.Float64)
    # Of equals the first in the order of the rows is taken, and exactly `top` of them.
    rank = pl.select(pl.when(able).then(by).rank("ordinal", descending=True)).to_series()
    return (rank <= change.top).fill_null(value=False)
