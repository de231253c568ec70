"""What can be configured about the graph metrics: one environment variable per field."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from include.operations.errors import InputRejected
from include.organism.settings import configured

RANGES: Final[dict[str, tuple[float, float]]] = {
    # The task ends after 20 minutes.
    "metrics_budget_s": (1, 600),
    "metrics_threads": (0, 256),
    "metrics_window_days": (0, 36_500),
    # Airflow maps at most 1,024 tasks; each shard has a budget of its own.
    "metrics_shards": (1, 256),
    "metrics_seed": (0, 2**31 - 1),
}


class Distance(StrEnum):
    """How long a tie is on a shortest path."""

    HOPS = "hops"
    STRENGTH = "strength"


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """Settings of the graph metrics; ``ORGANISM_<FIELD>`` in the environment overrides a default.

    Attributes:
        metrics_budget_s: seconds that betweenness may take; beyond, it is estimated from the sources done by then.
        metrics_threads: threads that work at once; 0: as many as this process may use cores.
        metrics_window_days: a tie counts as active for so long after its last interaction; 0: for ever.
        metrics_shards: tasks that a graph is spread over which one worker cannot finish within the budget; 1: never.
        metrics_seed: of the order of sources and of the communities.
        metrics_distance: `hops`, or `strength`: stronger ties are shorter.
    """

    metrics_budget_s: float = 180.0
    metrics_threads: int = 0
    metrics_window_days: float = 28.0
    metrics_shards: int = 1
    metrics_seed: int = 42
    metrics_distance: Distance = Distance.HOPS

    @classmethod
    def from_env(cls, **overrides: float | str | None) -> Self:
        """Defaults, then the environment, then `overrides` (those that are not None).

        Raises:
            InputRejected: a value makes no sense; the message names the variable.
        """
        return cls(**configured(cls, RANGES, _distance, overrides))

    @property
    def threads(self) -> int:
        """Threads to work with."""
        return self.metrics_threads or len(os.sched_getaffinity(0))


def _distance(shown: str, text: str) -> Distance:
    try:
        return Distance(text)
    except ValueError:
        raise InputRejected(
            f"{shown} is none of {', '.join(Distance)}.", what_to_do=f"correct {shown}, or leave it out"
        ) from None
