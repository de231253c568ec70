"""The engine: who adds up the sums. Whatever engine it is, everything after the sums is the same code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from include.organism.causal.kernels import Design, Floats, Moments, Scores
from include.organism.causal.spec import PanelSpec

if TYPE_CHECKING:
    import polars as pl

Source: TypeAlias = "pl.DataFrame | pl.LazyFrame | Path | str | Any"


@dataclass(frozen=True, slots=True)
class Profile:
    """First look at a panel."""

    rows: int
    """Rows with all values."""
    missing: int
    """Rows in which one is missing."""
    infinite: int
    """Rows in which one is infinite."""
    periods: tuple[int, ...]
    """In order."""
    means: Floats
    """Of each column of numbers: near enough to take off before squaring."""


class Sums(Protocol):
    """What the regressions need of a panel."""

    @property
    def profile(self) -> Profile:
        """First look."""
        ...

    def moments(self, excluded: NDArray[np.bool_]) -> Moments:
        """The first pass, without the periods flagged."""
        ...

    def scores(self, designs: Sequence[Design], excluded: NDArray[np.bool_]) -> list[Scores]:
        """The second pass, for several designs at once."""
        ...


class Panel(Sums, Protocol):
    """A panel that an engine has at hand."""

    def sample(self, rows: int, seed: int) -> pl.DataFrame:
        """About so many complete rows, whole people by chance (the seed's), all of them if there are no more."""
        ...


class CausalEngine(Protocol):
    """Where the sums of a panel are computed."""

    @property
    def name(self) -> str:
        """As it is written beside a result."""
        ...

    def open(self, source: Source, spec: PanelSpec) -> AbstractContextManager[Panel]:
        """Read the columns of a panel.

        Raises:
            InputRejected: a column is missing or is of a type that cannot be used.
        """
        ...
