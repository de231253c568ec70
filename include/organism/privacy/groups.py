"""How many people a group must have before a number about it leaves the restricted tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from include.operations.errors import InputRejected

FLOOR: Final = 5
BURNOUT: Final = "burnout_score"
_MOST: Final = 1_000_000
_VARIABLES: Final = {BURNOUT: ("ORGANISM_MIN_GROUP_BURNOUT", 10)}
_USUAL: Final = ("ORGANISM_MIN_GROUP", FLOOR)


def minimum_group(metric: str, environ: Mapping[str, str] | None = None) -> int:
    """Least number of people whose mean of this metric may be shown: 5, and 10 for burnout, unless set higher.

    Raises:
        InputRejected: the variable is no whole number from 5 upwards; nobody can set it lower.
    """
    given = os.environ if environ is None else environ
    variable, usual = _VARIABLES.get(metric, _USUAL)
    text = given.get(variable) or str(usual)
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not FLOOR <= number <= _MOST:
        raise InputRejected(
            f"{variable} is not a whole number from {FLOOR} upwards: smaller groups are never shown",
            what_to_do=f"correct {variable}, or leave it out",
        )
    return number
