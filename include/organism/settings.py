"""What can be configured about the stream and the graph: one environment variable per field."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, Self

DAY_MS = 86_400_000
_KINDS: dict[Any, type[int | float | str]] = {"int": int, "float": float, "str": str}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the 5-minute pipeline; ``ORGANISM_<FIELD>`` in the environment overrides a default.

    Units are in the names. `docs/configuration.md` explains each one.
    """

    stream: str = "interactions"
    group: str = "graph_builder"
    # One fixed name: the watermark protocol needs a single reader, whatever host or run it is.
    consumer: str = "organism_incremental_update"
    batch_size: int = 5_000
    time_budget_s: float = 240.0
    # Committed but unacknowledged entries the group may hold while a long run drains a backlog.
    max_unacknowledged: int = 20_000
    # Entries of other consumers are taken over after this time without a sign of life.
    claim_idle_s: float = 600.0
    lease_ttl_s: float = 90.0
    lease_wait_s: float = 30.0
    dedupe_window_h: float = 72.0
    half_life_days: float = 14.0
    earliest_event: float = 0.0
    future_tolerance_s: float = 86_400.0
    max_targets: int = 1_000
    max_field_bytes: int = 65_536

    @classmethod
    def from_env(cls, **overrides: float | str | None) -> Self:
        """Defaults, then the environment, then `overrides` (those that are not None).

        Raises:
            ValueError: a variable does not hold a value of the field's type; the message names it.
        """
        values: dict[str, float | str] = {}
        for field in fields(cls):
            given = overrides.get(field.name)
            name = f"ORGANISM_{field.name.upper()}"
            raw = os.environ.get(name) if given is None else given
            if raw is None:
                continue
            kind = _KINDS[field.type]
            try:
                values[field.name] = kind(raw)
            except ValueError as error:
                msg = f"{name}={raw!r} is not a valid {kind.__name__}"
                raise ValueError(msg) from error
        return cls(**values)  # type: ignore[arg-type]

    @property
    def ledger_key(self) -> str:
        """The one key of the ledger node (Neo4j Community has no composite node keys)."""
        return f"{self.stream}|{self.group}"

    @property
    def claimed_consumer(self) -> str:
        """Holds entries taken over from other consumers.

        They are kept apart from our own pending entries: an own pending entry at or below the
        watermark is already in the graph, a taken-over one need not be.
        """
        return f"{self.consumer}:claimed"

    @property
    def dead_stream(self) -> str:
        """Where entries go that cannot be used."""
        return f"{self.stream}:dead"

    @property
    def half_life_ms(self) -> float:
        """Half-life of `recency_weight` in milliseconds."""
        return self.half_life_days * DAY_MS

    @property
    def dedupe_window_ms(self) -> int:
        """How long event ids are remembered, in milliseconds of stream time."""
        return int(self.dedupe_window_h * 3_600_000)
