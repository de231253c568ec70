"""The decorator of the loops that numba compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call; the loop then runs without the GIL, so that threads share the cores.

    The machine code is kept beside the module, or below the user's cache folder where that is not writable, so that a
    task does not compile again (a second or two). Where neither is writable, it does.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        made = numba.njit(function, cache=True, **options)
    except RuntimeError:
        made = numba.njit(function, **options)
    return cast("Callable[P, R]", made)
