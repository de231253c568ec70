"""What can be configured about the stream and the graph: one environment variable per field."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

from include.operations.errors import InputRejected

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DAY_MS = 86_400_000
# Least and greatest value that makes sense, in the field's unit; a field without a line is a name.
RANGES: Final[dict[str, tuple[float, float]]] = {
    "batch_size": (1, 50_000),
    # A run must end before its task's time-out.
    "time_budget_s": (1, 480),
    "max_unacknowledged": (1, 1_000_000),
    "claim_idle_s": (0.001, 604_800),
    # Neo4j looks for transactions that have run out every 2 seconds.
    "lease_ttl_s": (5, 3_600),
    "lease_wait_s": (0, 480),
    "dedupe_window_h": (0.01, 8_760),
    "half_life_days": (0.01, 36_500),
    "earliest_event": (0, 4_102_444_800),
    "future_tolerance_s": (0, 31_536_000),
    "max_targets": (1, 100_000),
    "max_field_bytes": (1_024, 16_777_216),
}
_LONGEST_NAME: Final = 200


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
            InputRejected: a value is none of the field's type, or makes no sense; the message names the variable.
        """
        return cls(**configured(cls, RANGES, _name, overrides))

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


def configured(
    settings: type[DataclassInstance],
    ranges: Mapping[str, tuple[float, float]],
    word: Callable[[str, str], str],
    overrides: Mapping[str, float | str | None],
) -> dict[str, Any]:
    """What is set of a class of settings; all else keeps its default.

    Args:
        settings: the class; ``ORGANISM_<FIELD>`` in the environment sets a field.
        ranges: least and greatest value of the fields that are numbers.
        word: reads any other field from how it is named to people, and its text.
        overrides: parameters of a run, which come first; None: not given.

    Raises:
        InputRejected: a value makes no sense; the message names the variable or parameter.
    """
    values: dict[str, float | str] = {}
    for field in fields(settings):
        given = overrides.get(field.name)
        variable = f"ORGANISM_{field.name.upper()}"
        raw = os.environ.get(variable) if given is None else given
        if raw is None:
            continue
        shown = variable if given is None else f"the parameter {field.name}"
        if field.name in ranges:
            values[field.name] = number(shown, raw, *ranges[field.name], whole=field.type == "int")
        else:
            values[field.name] = word(shown, str(raw))
    return values


def number(shown: str, raw: float | str, least: float, most: float, *, whole: bool) -> float:
    """Read a number from its setting or parameter, which `shown` names.

    Raises:
        InputRejected: it is none, or outside of the range.
    """
    kind = "whole number" if whole else "number"
    try:
        value = int(raw) if whole else float(raw)
    except (ValueError, OverflowError):
        value = least - 1
    # A NaN is in no range.
    if not least <= value <= most:
        raise InputRejected(
            f"{shown} is not a {kind} from {least:,.10g} to {most:,.10g}.",
            what_to_do=f"correct {shown}, or leave it out",
        )
    return value


def _name(shown: str, text: str) -> str:
    if not text.isprintable() or text != "".join(text.split()) or not 1 <= len(text) <= _LONGEST_NAME:
        raise InputRejected(
            f"{shown} is not a name of 1 to {_LONGEST_NAME} characters without spaces.",
            what_to_do=f"correct {shown}, or leave it out",
        )
    return text
