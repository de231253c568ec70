"""Which engine: by the rows, by what is there, and by what fits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from include.operations.errors import InputRejected
from include.organism.causal.engine import CausalEngine
from include.organism.causal.spark_session import INSTALL, installed

VARIABLE: Final = "ORGANISM_CAUSAL_SPARK_ROWS"
# docs/decisions/0029: up to a million rows Spark is slower on the same cores; above this one machine takes minutes.
SPARK_ROWS: Final = 20_000_000
_MOST: Final = 10**12
Wanted = Literal["auto", "local", "spark"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine for a panel, and why."""

    engine: Literal["local", "spark"]
    words: str


def spark_rows() -> int:
    """From how many rows on Spark is asked: `ORGANISM_CAUSAL_SPARK_ROWS`.

    Raises:
        InputRejected: it is not a whole number from 1.
    """
    raw = os.environ.get(VARIABLE, str(SPARK_ROWS))
    if not raw.isdecimal() or not 1 <= int(raw) <= _MOST:
        raise InputRejected(
            f"{VARIABLE} is not a whole number from 1 to {_MOST:,}.", what_to_do=f"correct {VARIABLE}, or leave it out"
        )
    return int(raw)


@contextmanager
def engine_for(rows: int, wanted: Wanted = "auto") -> Iterator[tuple[CausalEngine, str]]:
    """The engine for a panel of so many rows, and why it is this one; `wanted` overrules the rows.

    Raises:
        ServerUnsupported: `spark` is wanted, and PySpark or Java is not installed.
        AirflowNotFoundException: `spark` is wanted, and there is no connection of that name.
    """
    from include import connections
    from include.organism.causal.engine_local import LocalEngine

    if wanted == "auto":
        chosen = choose(rows, connected=connections.exists(connections.SPARK))
    else:
        chosen = Choice(wanted, f"{rows:,} rows; the engine was asked for")
    if chosen.engine == "local":
        yield LocalEngine(), chosen.words
        return
    from include.organism.causal.engine_spark import DistributedCausalEngine

    with connections.spark() as session:
        yield DistributedCausalEngine(session), chosen.words


def choose(rows: int, *, connected: bool, threshold: int | None = None) -> Choice:
    """Choose for a panel of so many rows; `connected` says whether there is a connection `spark`.

    The local engine works through a panel of any length part by part, so it is what is left when Spark is not there.
    """
    threshold = spark_rows() if threshold is None else threshold
    if rows < threshold:
        return Choice("local", f"{rows:,} rows, fewer than {threshold:,}")
    if not connected:
        return Choice(
            "local", f"{rows:,} rows; there is no connection `spark`, so one machine goes through them in parts"
        )
    if not installed():
        return Choice("local", f"{rows:,} rows, in parts on one machine; for Spark, {INSTALL}")
    return Choice("spark", f"{rows:,} rows, {threshold:,} or more")
