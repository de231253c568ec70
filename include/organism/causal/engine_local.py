"""The engine of one machine: polars reads and streams, numpy adds up, a bounded part of the people at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.operations.errors import InputRejected
from include.organism.causal import kernels
from include.organism.causal.engine import Profile, Source
from include.organism.causal.kernels import Design, Moments, People, Scores
from include.organism.causal.spec import PanelSpec

if TYPE_CHECKING:
    import polars as pl

# While it is sorted and added up, a part takes two to three times as much (220 MB: 540 MB).
_PART_BYTES = 512 * 2**20


class LocalEngine:
    """Sums by polars and numpy.

    A panel that fits in one part of `part_bytes` is kept between the passes; a larger one is read again for each part
    and pass, so that memory stays flat however long it is.
    """

    def __init__(self, part_bytes: int = _PART_BYTES) -> None:
        self._part_bytes = part_bytes

    @property
    def name(self) -> str:
        """`local`."""
        return "local"

    @contextmanager
    def open(self, source: Source, spec: PanelSpec) -> Iterator[LocalPanel]:
        """Read a frame, a lazy frame or Parquet files (a path, or a pattern of paths)."""
        yield LocalPanel(complete(lazy(source), spec), spec, self._part_bytes)


class ArrayPanel:
    """A panel of numpy arrays: complete, finite rows."""

    def __init__(
        self, person: NDArray[np.int64], period: NDArray[np.int64], values: NDArray[np.float64], *, single: bool = False
    ) -> None:
        self._single = single
        known, place = np.unique(period, return_inverse=True)
        self._arrays = person, place, values
        means = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
        self.profile = Profile(len(values), 0, 0, tuple(known.tolist()), means)
        self._kept: tuple[bytes, People] | None = None

    def moments(self, excluded: NDArray[np.bool_]) -> Moments:
        """The first pass."""
        return kernels.moments(self._people(excluded), len(excluded), self.profile.means)

    def scores(self, designs: Sequence[Design], excluded: NDArray[np.bool_]) -> list[Scores]:
        """The second pass."""
        people = self._people(excluded)
        return [kernels.scores(people, design) for design in designs]

    def _people(self, excluded: NDArray[np.bool_]) -> People:
        if self._kept is None or self._kept[0] != excluded.tobytes():
            person, period, values = self._arrays
            self._kept = excluded.tobytes(), kernels.people(person, period, values, None, excluded, self._single)
        return self._kept[1]


class LocalPanel:
    """A panel as a lazy frame with the columns `person`, `period`, perhaps `cluster`, and `n0`... the numbers."""

    def __init__(self, rows: pl.LazyFrame, spec: PanelSpec, part_bytes: int) -> None:
        import polars as pl

        self._spec = spec
        self._numbers = [f"n{place}" for place in range(len(spec.numbers))]
        width = 8 * (len(self._numbers) + 3)
        count = rows.select(pl.len()).collect(engine="streaming").item()
        self._parts = max(1, -(-count * width // part_bytes))
        # What fits in one part is read once.
        self._all = rows if self._parts > 1 else rows.collect(engine="streaming").lazy()
        self.profile = self._look()
        self._kept: tuple[bytes, People] | None = None

    def moments(self, excluded: NDArray[np.bool_]) -> Moments:
        """The first pass."""
        return reduce(
            add,
            (kernels.moments(part, len(excluded), self.profile.means) for part in self._people(excluded)),
        )

    def scores(self, designs: Sequence[Design], excluded: NDArray[np.bool_]) -> list[Scores]:
        """The second pass."""
        parts = ([kernels.scores(part, design) for design in designs] for part in self._people(excluded))
        return reduce(lambda mine, his: [a + b for a, b in zip(mine, his, strict=True)], parts)

    def sample(self, rows: int, seed: int) -> pl.DataFrame:
        """Whole people, chosen by a hash of their id and the seed."""
        import polars as pl

        frame = self._rows()
        if rows < self.profile.rows:
            share = rows / self.profile.rows
            frame = frame.filter(pl.col("person").hash(seed) < int(share * 2**64))
        return self._named(frame).collect(engine="streaming")

    def _named(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The columns under their own names."""
        import polars as pl

        spec = self._spec
        cluster = [pl.col("cluster").alias(spec.columns[2])] if len(spec.columns) > 2 + len(spec.given) else []
        numbers = [pl.col(short).alias(name) for short, name in zip(self._numbers, spec.numbers, strict=True)]
        return frame.select(
            pl.col("person").alias(spec.person), pl.col("period").alias(spec.period), *cluster, *numbers
        )

    def _look(self) -> Profile:
        import polars as pl

        whole = pl.all_horizontal(pl.col(*self._columns()).is_not_null())
        finite = pl.all_horizontal(pl.col(self._numbers).is_finite()) if self._numbers else pl.lit(value=True)
        found, periods = pl.collect_all(
            [
                self._all.select(
                    pl.len().alias("all"),
                    whole.sum().alias("rows"),
                    (whole & ~finite).sum().alias("infinite"),
                    pl.col(self._numbers).filter(whole & finite).mean(),
                ),
                self._rows().select(pl.col("period").unique()),
            ],
            engine="streaming",
        )
        row = found.row(0, named=True)
        return Profile(
            rows=row["rows"],
            missing=row["all"] - row["rows"],
            infinite=row["infinite"],
            periods=tuple(sorted(periods["period"].to_list())),
            means=np.array([row[name] or 0.0 for name in self._numbers]),
        )

    def _columns(self) -> list[str]:
        cluster = ["cluster"] if self._spec.cluster is not None else []
        return ["person", "period", *cluster, *self._numbers]

    def _rows(self) -> pl.LazyFrame:
        return self._all.drop_nulls(self._columns())

    def _people(self, excluded: NDArray[np.bool_]) -> Iterator[People]:
        """All people, part by part; a single part is kept."""
        import polars as pl

        if self._kept is not None and self._kept[0] == excluded.tobytes():
            yield self._kept[1]
            return
        rows = self._rows()
        for part in range(self._parts):
            chosen = rows if self._parts == 1 else rows.filter(pl.col("person").hash() % self._parts == part)
            found = self._grouped(chosen, excluded)
            if self._parts == 1:
                self._kept = excluded.tobytes(), found
            yield found

    def _grouped(self, rows: pl.LazyFrame, excluded: NDArray[np.bool_]) -> People:
        import polars as pl

        frame = rows.collect(engine="streaming")
        person = frame["person"]
        if not person.dtype.is_integer():
            # Numbers instead of ids sort and compare faster; which number is whose does not matter.
            person = person.cast(pl.String).cast(pl.Categorical).to_physical()
        periods = np.array(self.profile.periods)
        return kernels.people(
            person.cast(pl.Int64).to_numpy(),
            np.searchsorted(periods, frame["period"].to_numpy()),
            frame.select(self._numbers).to_numpy(order="c"),
            frame["cluster"].to_numpy() if self._spec.cluster is not None else None,
            excluded,
            single=not self._spec.effects,
        )


def lazy(source: Source) -> pl.LazyFrame:
    """A frame, or Parquet files by their path or pattern, as a lazy frame."""
    import polars as pl

    if isinstance(source, pl.LazyFrame):
        return source
    if isinstance(source, pl.DataFrame):
        return source.lazy()
    if isinstance(source, (str, Path)):
        return pl.scan_parquet(source)
    raise InputRejected(
        f"The local engine cannot read a {type(source).__name__}.",
        what_to_do="give a polars frame or the path of Parquet files, or use the engine `spark`",
    )


def complete(rows: pl.LazyFrame, spec: PanelSpec) -> pl.LazyFrame:
    """The columns of the analysis under short names, numbers as float64, not-a-number as missing.

    Raises:
        InputRejected: a column is missing or is of a type that cannot be used.
    """
    import polars as pl

    schema = rows.collect_schema()
    for name in spec.columns:
        if name not in schema:
            raise InputRejected(f"The panel has no column {name}.", what_to_do="correct the name, or add the column")
    period = schema[spec.period]
    if not period.is_integer():
        raise InputRejected(
            f"The column {spec.period} of the panel holds {period}, not whole numbers.",
            what_to_do="number the periods, so that consecutive ones differ by 1",
        )
    for name in spec.given:
        if not (schema[name].is_numeric() or schema[name] == pl.Boolean):
            raise InputRejected(
                f"The column {name} of the panel holds {schema[name]}, not numbers.",
                what_to_do="turn it into numbers or booleans, one column for each category",
            )
    columns = [pl.col(spec.person).alias("person"), pl.col(spec.period).cast(pl.Int64).alias("period")]
    if spec.cluster is not None:
        columns.append(pl.col(spec.cluster).cast(pl.String).alias("cluster"))
    numbers = [pl.col(name).cast(pl.Float64).fill_nan(None).alias(f"n{i}") for i, name in enumerate(spec.given)]
    given = rows.select(*columns, *numbers)
    result = given
    for place, shift in enumerate(spec.shifts, start=len(spec.given)):
        other = given.select("person", pl.col("period") - shift, pl.col("n1").alias(f"n{place}"))
        result = result.join(other, on=["person", "period"], how="left", nulls_equal=False)
    return result
