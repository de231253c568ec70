"""The engine of many machines: Spark brings each person's rows together, its workers add up with the same kernels.

The workers need Python (of the driver's minor version), numpy and pyarrow, and nothing of this project: the module
`kernels` travels with the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.operations.errors import InputRejected
from include.organism.causal import kernels
from include.organism.causal.engine import Profile, Source
from include.organism.causal.kernels import Design, Moments, Scores
from include.organism.causal.spec import PanelSpec

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

# A worker holds a partition two to three times over while it is sorted and added up.
_PARTITION_BYTES = 64 * 2**20
_NUMERIC = ("byte", "short", "integer", "long", "float", "double", "boolean", "decimal")
_WHOLE = ("byte", "short", "integer", "long")


class DistributedCausalEngine:
    """Sums by Spark, on a session of any kind (`include.connections.spark` opens one)."""

    def __init__(self, session: SparkSession) -> None:
        from pyspark import cloudpickle

        cloudpickle.register_pickle_by_value(kernels)  # type: ignore[no-untyped-call]
        self._session = session

    @property
    def name(self) -> str:
        """`spark` and its version."""
        return f"spark {self._session.version}"

    @contextmanager
    def open(self, source: Source, spec: PanelSpec) -> Iterator[SparkPanel]:
        """Read a Spark or polars frame, or Parquet files by a path the cluster can read; kept there until the end."""
        rows = complete(self._frame(source), spec).persist()
        try:
            with SparkPanel.partitioned(rows, spec) as panel:
                yield panel
        finally:
            rows.unpersist()

    def _frame(self, source: Source) -> Any:
        """A Spark frame of files, or of a polars frame, which then travels through this process."""
        import polars as pl

        if isinstance(source, (str, Path)):
            return self._session.read.parquet(str(source))
        if isinstance(source, pl.LazyFrame):
            source = source.collect(engine="streaming")
        if isinstance(source, pl.DataFrame):
            return self._session.createDataFrame(source.to_arrow())
        return source


class SparkPanel:
    """A panel as a Spark frame with the columns `person`, `period`, perhaps `cluster`, and `n0`... the numbers."""

    def __init__(self, rows: DataFrame, spec: PanelSpec, profile: Profile) -> None:
        self._rows = rows
        self._spec = spec
        self.profile = profile

    @classmethod
    @contextmanager
    def partitioned(cls, rows: DataFrame, spec: PanelSpec) -> Iterator[SparkPanel]:
        """Look at the rows once, then bring those of each person to one partition."""
        profile = _look(rows, spec)
        width = 8 * (len(spec.numbers) + 3)
        partitions = max(1, -(-profile.rows * width // _PARTITION_BYTES))
        together = rows.na.drop().repartition(max(partitions, 2), "person").persist()
        try:
            yield cls(together, spec, profile)
        finally:
            together.unpersist()

    def moments(self, excluded: NDArray[np.bool_]) -> Moments:
        """The first pass."""
        size, shift = len(excluded), self.profile.means
        found = self._add_up(lambda people: [kernels.moments(people, size, shift)], excluded)
        return reduce(add, (kernels.unpack_moments(data) for _, data in found))

    def scores(self, designs: Sequence[Design], excluded: NDArray[np.bool_]) -> list[Scores]:
        """The second pass."""
        wanted = list(designs)

        def work(people: kernels.People) -> list[Scores]:
            return [kernels.scores(people, design) for design in wanted]

        sums: list[Scores | None] = [None] * len(designs)
        for place, data in self._add_up(work, excluded):
            part, before = kernels.unpack_scores(data), sums[place]
            sums[place] = part if before is None else before + part
        return [found for found in sums if found is not None]

    def sample(self, rows: int, seed: int) -> pl.DataFrame:
        """Whole people, chosen by a hash of their id and the seed."""
        import polars as pl
        from pyspark.sql import functions as f

        chosen = self._rows
        if rows < self.profile.rows:
            share = int(rows / self.profile.rows * 2**32)
            chosen = chosen.where(f.pmod(f.xxhash64(f.lit(seed), "person"), f.lit(2**32)) < share)
        spec = self._spec
        cluster = [f.col("cluster").alias(spec.columns[2])] if len(spec.columns) > 2 + len(spec.given) else []
        numbers = [f.col(f"n{place}").alias(name) for place, name in enumerate(spec.numbers)]
        named = chosen.select(
            f.col("person").alias(spec.person), f.col("period").alias(spec.period), *cluster, *numbers
        )
        frame = pl.from_arrow(named.toArrow())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table is no series
        return frame

    def _add_up(
        self, work: Callable[[kernels.People], list[Any]], excluded: NDArray[np.bool_]
    ) -> Iterator[tuple[int, bytes]]:
        """Do the work on each partition; gives the place in the list it returns, and the packed sums."""
        read = _reader(self.profile.periods, len(self._spec.numbers), excluded, single=not self._spec.effects)

        def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            import pyarrow as pa

            sums = [kernels.pack(part) for part in work(read(batches))]
            yield pa.RecordBatch.from_pydict({"place": pa.array(range(len(sums)), pa.int32()), "sums": sums})

        for row in self._rows.mapInArrow(run, "place int, sums binary").toLocalIterator(prefetchPartitions=True):
            yield row["place"], bytes(row["sums"])


def _reader(
    periods: tuple[int, ...], numbers: int, excluded: NDArray[np.bool_], *, single: bool
) -> Callable[[Iterable[pa.RecordBatch]], kernels.People]:
    """A function, for the workers, that makes a partition's batches into people."""
    order = np.array(periods)

    def read(batches: Iterable[pa.RecordBatch]) -> kernels.People:
        import pyarrow as pa

        found = list(batches)
        if not found:
            empty = np.zeros(0, np.int64)
            return kernels.people(empty, empty, np.zeros((0, numbers)))
        table = pa.Table.from_batches(found).combine_chunks()
        person = table["person"].combine_chunks().dictionary_encode()
        codes = (person.combine_chunks() if isinstance(person, pa.ChunkedArray) else person).indices
        values = np.column_stack([table[f"n{place}"].to_numpy() for place in range(numbers)])
        cluster = table["cluster"].to_numpy().astype(str) if "cluster" in table.column_names else None
        period = np.searchsorted(order, table["period"].to_numpy())
        return kernels.people(codes.to_numpy().astype(np.int64), period, values, cluster, excluded, single)

    return read


def _look(rows: DataFrame, spec: PanelSpec) -> Profile:
    from pyspark.sql import functions as f

    names = [f"n{place}" for place in range(len(spec.numbers))]
    whole = reduce(lambda a, b: a & b, [f.col(name).isNotNull() for name in rows.columns])
    infinite = reduce(lambda a, b: a | b, [f.abs(f.col(name)) == float("inf") for name in names])
    found = rows.select(
        f.count("*").alias("all"),
        f.count_if(whole).alias("rows"),
        f.count_if(whole & infinite).alias("infinite"),
        f.array_sort(f.collect_set(f.when(whole, f.col("period")))).alias("periods"),
        *(f.avg(f.when(whole & ~infinite, f.col(name))).alias(name) for name in names),
    ).first()
    assert found is not None  # noqa: S101 - an aggregate without groups is one row
    return Profile(
        rows=found["rows"],
        missing=found["all"] - found["rows"],
        infinite=found["infinite"],
        periods=tuple(found["periods"]),
        means=np.array([found[name] or 0.0 for name in names]),
    )


def complete(frame: Any, spec: PanelSpec) -> DataFrame:
    """The columns of the analysis under short names, numbers as double, not-a-number as missing.

    Raises:
        InputRejected: a column is missing or is of a type that cannot be used.
    """
    from pyspark.sql import functions as f

    if not hasattr(frame, "mapInArrow"):
        raise InputRejected(
            f"The engine `spark` cannot read a {type(frame).__name__}.",
            what_to_do="give a Spark frame or the path of Parquet files, or use the engine `local`",
        )
    types = {field.name: field.dataType.typeName() for field in frame.schema.fields}
    for name in spec.columns:
        if name not in types:
            raise InputRejected(f"The panel has no column {name}.", what_to_do="correct the name, or add the column")
    if types[spec.period] not in _WHOLE:
        raise InputRejected(
            f"The column {spec.period} of the panel holds {types[spec.period]}, not whole numbers.",
            what_to_do="number the periods, so that consecutive ones differ by 1",
        )
    for name in spec.given:
        if types[name] not in _NUMERIC:
            raise InputRejected(
                f"The column {name} of the panel holds {types[name]}, not numbers.",
                what_to_do="turn it into numbers or booleans, one column for each category",
            )
    columns = [frame[spec.person].alias("person"), frame[spec.period].cast("long").alias("period")]
    if spec.cluster is not None:
        columns.append(frame[spec.cluster].cast("string").alias("cluster"))
    given: DataFrame = frame.select(
        *columns,
        *(
            f.nullif(frame[name].cast("double"), f.lit(float("nan"))).alias(f"n{i}")
            for i, name in enumerate(spec.given)
        ),
    )
    result = given
    for place, shift in enumerate(spec.shifts, start=len(spec.given)):
        other = given.select("person", (f.col("period") - shift).alias("period"), f.col("n1").alias(f"n{place}"))
        result = result.join(other, ["person", "period"], "left")
    return result
