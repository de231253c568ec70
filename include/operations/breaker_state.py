"""The state of a circuit breaker, what each call makes of it, and where it is kept. The rules: `breaker`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import redis

FAILURES_IN_A_ROW: Final = 5
LAST_CALLS: Final = 10
# Of the last calls; as long as there were fewer, only failures in a row open the breaker.
FAILURES_OF_LAST: Final = 5
OPEN_S: Final = 60.0
# So long others wait for the outcome of a probe, whose process may have been killed.
PROBE_S: Final = 60.0

KEY: Final = "ops:breaker:"
# A state nobody has touched for so long says nothing.
_KEEP_S: Final = 86_400
_MOST_RACES: Final = 50

_LOAD: Final = "return {redis.call('GET', KEYS[1]) or '', redis.call('TIME')}"
_SWAP: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class State:
    """What is known about a service. Times are epoch seconds, 0 when there is none."""

    calls: str = ""
    """The last calls that count, oldest first: 1 succeeded, 0 failed."""
    in_a_row: int = 0
    opened_at: float = 0.0
    open_until: float = 0.0
    probe_until: float = 0.0
    limit: bool = False
    """Whether a limit of the service has opened it, not failures."""
    code: str = ""
    """Of the last failure."""

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, or wait for a probe."""
        return self.open_until > 0


class Entered(NamedTuple):
    """Whether a call may be made: how long to wait first, and whether it is the probe."""

    state: State
    wait_s: float = 0.0
    probing: bool = False


def enter(state: State, now: float) -> Entered:
    """Ask for a call."""
    if not state.is_open:
        return Entered(state)
    until = max(state.open_until, state.probe_until)
    if now < until:
        return Entered(state, until - now)
    return Entered(replace(state, probe_until=now + PROBE_S), probing=True)


def succeeded(state: State, *, probing: bool) -> State:
    """A call has ended well. One that began before the breaker opened changes nothing."""
    if state.is_open:
        return State() if probing else state
    return replace(state, calls=(state.calls + "1")[-LAST_CALLS:], in_a_row=0)


def failed(state: State, now: float, code: str, *, probing: bool) -> State:
    """A call has failed through the service's fault."""
    if state.is_open:
        if not probing:
            return state
        return replace(state, open_until=now + OPEN_S, probe_until=0.0, limit=False, code=code)
    calls = (state.calls + "0")[-LAST_CALLS:]
    found = replace(state, calls=calls, in_a_row=state.in_a_row + 1, code=code)
    often = len(calls) == LAST_CALLS and calls.count("0") >= FAILURES_OF_LAST
    if often or found.in_a_row >= FAILURES_IN_A_ROW:
        return replace(found, opened_at=now, open_until=now + OPEN_S)
    return found


def unclear(state: State, *, probing: bool) -> State:
    """A call has ended without saying anything about the service; if it was the probe, another may be."""
    return replace(state, probe_until=0.0) if probing else state


def stopped(state: State, now: float, until: float, code: str) -> State:
    """The service allows no call before `until`."""
    opened = state.opened_at if state.is_open else now
    return replace(
        state, opened_at=opened, open_until=max(state.open_until, until), probe_until=0.0, limit=True, code=code
    )


class Store(Protocol):
    """Where states are kept. `change` is atomic: it may call the function again when somebody else was faster."""

    def change(self, service: str, function: Callable[[State, float], State]) -> State:
        """Replace the state by what the function makes of it and of the time; returns the new one."""

    def load(self, service: str) -> tuple[State, float]:
        """The state, and the time."""


@dataclass
class LocalStore:
    """Keeps states in this process."""

    clock: Callable[[], float] = time.time
    _states: dict[str, State] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, service: str, function: Callable[[State, float], State]) -> State:
        """Replace the state."""
        with self._lock:
            found = function(self._states.get(service, State()), self.clock())
            self._states[service] = found
            return found

    def load(self, service: str) -> tuple[State, float]:
        """The state, and the time."""
        return self._states.get(service, State()), self.clock()


@dataclass
class RedisStore:
    """Keeps states in the Redis of a client. `clock` replaces Redis's time."""

    client: redis.Redis
    clock: Callable[[], float] | None = None

    def change(self, service: str, function: Callable[[State, float], State]) -> State:
        """Replace the state; of several processes that do, each sees what the one before has made."""
        for _ in range(_MOST_RACES):
            text, now = self._read(service)
            before = _parse(text)
            after = function(before, now)
            if after == before:
                return after
            keep = int(_KEEP_S + max(after.open_until - now, 0))
            if self.client.eval(_SWAP, 1, KEY + service, text, json.dumps(asdict(after)), str(keep)):
                return after
        # Fifty others were faster, each time: theirs is the state that counts.
        return before

    def load(self, service: str) -> tuple[State, float]:
        """The state, and the time."""
        text, now = self._read(service)
        return _parse(text), now

    def _read(self, service: str) -> tuple[bytes, float]:
        reply: Any = self.client.eval(_LOAD, 1, KEY + service)
        text, (seconds, micros) = reply
        return text, self.clock() if self.clock else int(seconds) + int(micros) / 1e6


def _parse(text: bytes) -> State:
    return State(**json.loads(text)) if text else State()
