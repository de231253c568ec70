"""What is wrong in the simulated organisation, and what a sync must do about each record of it.

Kinds are a table; where they fall is drawn from the seed. A kind that makes a record unusable, or a reference that
leads nowhere, takes a record for itself. Others (`overlay`) may meet on one record, as in life.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from local.salesforce.ids import make_id

if TYPE_CHECKING:
    from local.salesforce.generator.organisation import Organisation

Value = str | int | float | bool | None
Change = dict[str, Value]
Make = Callable[["Organisation", int, Random], Change]
# Far above every number in use: ids of records that never existed (deleted for good before the organisation was kept).
_NOWHERE = 900_000_000


class Outcome(StrEnum):
    """Where the record or its value must end."""

    QUARANTINE = "quarantine"  # not in the table; in quarantine with `code`, naming the field
    FLAG = "flag"  # in the table without the bad value, or with its replacement; a data-quality flag `code` names it
    PENDING = "pending"  # in the table; the reference waits in the pending links until its parent comes
    KEEP = "keep"  # in the table, not a character changed or lost but blanks at the ends
    MAP = "map"  # in the table with `expected` instead
    DELETED = "deleted"  # not active in the table: a tombstone, or never landed
    ALIAS = "alias"  # merged into another record: gone, and its id leads to that one


@dataclass(frozen=True)
class Defect:
    """One entry of the manifest. `value` is what stands in Salesforce, `expected` what MAP and ALIAS lead to."""

    object: str
    record_id: str
    population: str
    field: str
    kind: str
    outcome: Outcome
    code: str | None = None
    value: Value = None
    expected: Value = None
    note: str = ""


@dataclass(frozen=True)
class Kind:
    """One way for records of a population to be wrong. `share` of them are, two at least."""

    name: str
    population: str
    field: str
    outcome: Outcome
    make: Make
    code: str | None = None
    share: float = 0.0006
    overlay: bool = False
    expected: Callable[[Value], Value] | None = None
    note: str = ""

    @property
    def unusable(self) -> bool:
        """Whether no sound record may refer to such a one."""
        return self.outcome in (Outcome.QUARANTINE, Outcome.DELETED, Outcome.ALIAS)


def one_of(field: str, *values: Value) -> Make:
    """Put one of the values into the field."""
    return lambda _organisation, _index, rng: {field: values[int(rng.random() * len(values))]}


def without(*fields: str) -> Make:
    """Empty the fields."""
    return lambda _organisation, _index, _rng: dict.fromkeys(fields)


def nowhere(field: str, prefix: str) -> Make:
    """Refer to a record that never existed."""
    return lambda _organisation, index, _rng: {field: make_id(prefix, _NOWHERE + index)}


class Plan:
    """Which records of which population have which kinds, drawn from the seed."""

    def __init__(self, kinds: tuple[Kind, ...], sizes: dict[str, int], seed: int) -> None:
        self._chosen: dict[str, dict[int, tuple[Kind, ...]]] = {}
        for population, size in sizes.items():
            rng = Random(f"{seed}/defects/{population}")
            mine = [kind for kind in kinds if kind.population == population]
            counts = {kind.name: max(2, round(size * kind.share)) for kind in mine}
            alone = [kind for kind in mine if not kind.overlay]
            places = iter(rng.sample(range(size), sum(counts[kind.name] for kind in alone)))
            found: dict[int, tuple[Kind, ...]] = {
                next(places): (kind,) for kind in alone for _ in range(counts[kind.name])
            }
            rest = [index for index in range(size) if index not in found]
            fields: dict[int, set[str]] = {}
            for kind in mine:
                for index in rng.sample(rest, counts[kind.name]) if kind.overlay else ():
                    # Two kinds for one field: the first has it.
                    if kind.field not in fields.setdefault(index, set()):
                        fields[index].add(kind.field)
                        found[index] = (*found.get(index, ()), kind)
            self._chosen[population] = found

    def of(self, population: str) -> dict[int, tuple[Kind, ...]]:
        """Return the kinds by the record's place in its population."""
        return self._chosen[population]

    def sound(self, population: str, size: int) -> list[int]:
        """Return the places of the records that others may refer to."""
        chosen = self._chosen[population]
        return [index for index in range(size) if not any(kind.unusable for kind in chosen.get(index, ()))]
