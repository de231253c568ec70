"""The digest's picture: runs by day of both weeks, and how long each DAG takes now and before."""

from __future__ import annotations

import io
import os
import tempfile
from typing import TYPE_CHECKING, Final

from include.operations.statistics.report import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from include.operations.statistics.digest import Digest

# Okabe and Ito's colours: told apart by everyone, and in print.
_OK: Final = "#0072B2"
_FAILED: Final = "#D55E00"
_BEFORE: Final = "#BBBBBB"
_INK: Final = "#333333"
_SIZE_INCHES: Final = (10.0, 4.2)
_DPI: Final = 110


def draw(digest: Digest) -> bytes:
    """Return a PNG of about 1100 x 460 pixels."""
    if "MPLCONFIGDIR" not in os.environ:
        # Else matplotlib looks for a place in the home directory, which in a container nobody may write to.
        os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="matplotlib-")
    # No pyplot: it keeps every figure alive and asks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    by_day, by_dag = figure.subplots(1, 2, width_ratios=(3, 2))
    _runs_by_day(by_day, digest)
    _durations(by_dag, digest)
    for axes in (by_day, by_dag):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=8)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def _runs_by_day(axes: Axes, digest: Digest) -> None:
    places = range(len(digest.days))
    ok, failed = [day.ok for day in digest.days], [day.failed for day in digest.days]
    axes.bar(places, ok, color=[_BEFORE if day.day < digest.monday else _OK for day in digest.days], width=0.8)
    axes.bar(places, failed, bottom=ok, color=_FAILED, width=0.8)
    for place, day in zip(places, digest.days, strict=True):
        if day.failed:
            top = (place, day.ok + day.failed)
            axes.annotate(f"{day.failed:,}", top, ha="center", va="bottom", fontsize=8, color=_FAILED)
    axes.set_xticks(list(places), [f"{day.day:%a}\n{day.day:%d}" for day in digest.days])
    axes.set_ylim(0, max(*(day.ok + day.failed for day in digest.days), 1) * 1.1)
    _title(axes, "Successful runs by day (grey: the week before), failed ones in orange")


def _durations(axes: Axes, digest: Digest) -> None:
    shown = digest.slowest[::-1]
    if not shown:
        axes.set_axis_off()
        return
    now = [each.p95_s or 0.0 for each in shown]
    found = [digest.dags_before.get(each.dag_id) for each in shown]
    before = [(each.p95_s or 0.0) if each else 0.0 for each in found]
    places = range(len(shown))
    axes.barh([place + 0.2 for place in places], now, height=0.38, color=_OK)
    axes.barh([place - 0.2 for place in places], before, height=0.38, color=_BEFORE)
    for place, seconds in zip(places, now, strict=True):
        axes.annotate(f" {duration(seconds)}", (seconds, place + 0.2), va="center", fontsize=8, color=_INK)
    axes.set_yticks(list(places), [each.dag_id for each in shown])
    axes.set_xticks([])
    axes.margins(x=0.18)
    _title(axes, "Slowest by p95 (grey: the week before)")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=10, color=_INK, loc="left", pad=12)
