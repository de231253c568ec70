"""Circuit breakers: which services the tasks spare at the moment."""

from __future__ import annotations

from collections.abc import Iterator

from include.operations.breaker import SERVICES, states
from include.operations.breaker_state import FAILURES_OF_LAST
from include.operations.doctor.finding import Finding, ok, warn

_AREA = "breakers"


def check() -> Iterator[Finding]:
    """Name each service whose breaker is open, and since and until when; or that there is none."""
    quiet = True
    for service, (state, now) in states().items():
        if state.is_open:
            quiet = False
            left = max(state.open_until - now, 0)
            since = f"{service}: open for {now - state.opened_at:,.0f} s, the last failure was {state.code}"
            if state.limit:
                found = f"{service}: its limit is used up ({state.code}), asked again in {left / 60:,.0f} min"
                yield warn(_AREA, found, "wait; if it happens often, lower the load or ask for a higher limit")
            else:
                shown = f"{since}, tried again in {left:,.0f} s" if left else f"{since}, the next call tries it"
                yield warn(_AREA, shown, f"see what doctor says of {service}; the breaker closes by itself")
        elif state.calls.count("0") >= FAILURES_OF_LAST - 1 or state.in_a_row:
            quiet = False
            count = f"{state.calls.count('0')} of the last {len(state.calls)} calls failed"
            yield ok(_AREA, f"{service}: closed, {count} ({state.code})")
    if quiet:
        yield ok(_AREA, f"all {len(SERVICES)} closed")
