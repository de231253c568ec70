"""Pictures of an analysis, as PNG. Each is made of estimates, or of groups of at least the minimum size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from include.organism.analysis.verdict import Verdict
from include.organism.causal.spec import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from include.organism.analysis.answers import Answer
    from include.organism.analysis.report.groups import Histogram, TeamTable
    from include.organism.causal.leads import EventStudy

# Colours of Okabe and Ito, which colour-blind people tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
_COLOUR: Final = {
    Verdict.SUPPORTED: GREEN,
    Verdict.SUGGESTIVE: BLUE,
    Verdict.NOT_IDENTIFIED: GREY,
    Verdict.REFUSED: GREY,
}
_DPI: Final = 130
_DASH: Final = "\N{EN DASH}"


def coefficients(answers: Sequence[Answer], outcome: str) -> bytes:
    """Each treatment's effect of one within-person standard deviation, with its interval; the naive one beside it."""
    shown = [answer for answer in answers if answer.trial is not None and answer.effect is not None]
    figure, axes = _figure(height=1.6 + 0.9 * max(1, len(shown)))
    for place, answer in enumerate(shown):
        trial = answer.trial
        assert trial is not None  # noqa: S101 - chosen so
        unit = trial.fit.treatment_sd * trial.fit.treatment_within_share**0.5
        effect = trial.fit.effect
        _bar(
            axes,
            place + 0.12,
            np.array([effect.estimate, effect.low, effect.high]) * unit,
            _COLOUR[answer.verdict],
            "o",
        )
        if isinstance(trial.naive, Fit):
            naive = trial.naive.effect
            _bar(axes, place + 0.18, np.array([naive.estimate, naive.low, naive.high]) * unit, ORANGE, "s")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{_words(a.treatment)}\n({a.verdict})" for a in shown])
    # The first on top, as in the table.
    axes.set_ylim(max(1, len(shown)) - 0.4, -0.6)
    axes.set_xlabel(
        f"change of {_words(outcome)} per standard deviation of change within a person; lines: 95 % intervals"
    )
    axes.set_title("Effects: circles within people, squares naive (for contrast only)", loc="left", fontsize=10)
    return _png(figure)


def event_study(study: EventStudy, treatment: str, outcome: str, period: str) -> bytes:
    """Effects by the time since the treatment: left of zero there should be none."""
    figure, axes = _figure(height=3.2)
    for when, effect in study.points:
        colour = GREY if when < 0 else BLUE
        axes.plot([when, when], [effect.low, effect.high], color=colour, linewidth=2)
        axes.plot(when, effect.estimate, "o", color=colour)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axvline(-0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks([when for when, _ in study.points])
    axes.set_xlabel(f"{period}s since {_words(treatment)}; negative: the outcome came first")
    axes.set_ylabel(f"effect on {_words(outcome)}")
    axes.set_title(f"Event study: all left of the line zero? p = {study.lead_p:.2g}", loc="left", fontsize=10)
    return _png(figure)


def distribution(histogram: Histogram, metric: str) -> bytes:
    """How a metric is distributed; each bar holds at least the minimum number of people."""
    figure, axes = _figure(height=3.0)
    edges, counts = np.array(histogram.edges), np.array(histogram.counts)
    widths = np.diff(edges)
    if len(counts):
        axes.bar(edges[:-1], counts, width=widths, align="edge", color=BLUE, edgecolor="white", linewidth=0.5)
    axes.set_xlabel(f"{_words(metric)}; wider bars: joined until they hold {histogram.least} people")
    axes.set_ylabel("people in the bar")
    axes.set_title(f"{_words(metric).capitalize()} of {histogram.people:,} people", loc="left", fontsize=10)
    return _png(figure)


def heat_map(table: TeamTable) -> bytes:
    """Teams by metrics, as standard deviations from the mean of the teams; empty cells are suppressed."""
    figure, axes = _figure(height=2.2 + 0.3 * max(1, len(table.teams)))
    values = _standardised(np.array(table.values, dtype=float).reshape(len(table.teams), len(table.metrics)))
    image = axes.imshow(np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-2.5, vmax=2.5, aspect="auto")
    figure.colorbar(image, ax=axes, label="standard deviations from the mean of the teams", extend="both")
    axes.set_facecolor("#E8E8E8")
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.text(column, row, _DASH, ha="center", va="center", color=GREY)
        else:
            mean = table.values[row][column]
            shown = f"{mean:,.0f}" if abs(mean) >= 100 else f"{mean:.2g}"
            axes.text(column, row, shown, ha="center", va="center", fontsize=7, color="w" if abs(value) > 1.5 else "k")
    axes.set_xticks(range(len(table.metrics)), [_words(name) for name in table.metrics], rotation=30, ha="right")
    axes.set_yticks(range(len(table.teams)), [_shortened(team) for team in table.teams])
    axes.set_title(
        f"Means of teams; red above, blue below the mean of the teams; {_DASH} suppressed", loc="left", fontsize=10
    )
    return _png(figure)


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """By column, without the missing; a column without spread is zero."""
    result = np.full_like(values, np.nan)
    for column in range(values.shape[1]):
        there = ~np.isnan(values[:, column])
        known = values[there, column]
        if len(known):
            spread = known.std()
            result[there, column] = (known - known.mean()) / spread if spread > 0 else 0.0
    return result


def _bar(axes: Axes, height: float, values: NDArray[np.float64], colour: str, marker: str) -> None:
    middle, low, high = values
    axes.plot([low, high], [height, height], color=colour, linewidth=2)
    axes.plot(middle, height, marker, color=colour)


def _figure(height: float) -> tuple[Figure, Axes]:
    # Without pyplot: it keeps figures in a global list and chooses a window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shortened(name: str, longest: int = 28) -> str:
    # A dollar would begin a formula.
    shown = name if len(name) <= longest else name[: longest - 1] + "…"
    return shown.replace("$", r"\$")
