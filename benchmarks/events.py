"""Events for benchmarks: real e-mails when their file is there, otherwise generated ones of that shape."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import redis

_FILE = "email-Eu-core-temporal-subset.txt"
_PEOPLE = 816
Row = tuple[str, str, int]


def sources() -> list[tuple[str, list[Row]]]:
    """What to measure on: e-mails of 816 people, and the platform's target organisation."""
    return [source(), ("target size: 2,000 people, 15,000 pairs", list(islice(_target_size(), 83_083)))]


def source() -> tuple[str, list[Row]]:
    """A name for the report, and about 83,000 rows `(source, target, epoch seconds)` in time order."""
    shared = Path(os.environ.get("SHARED_DATA", Path(__file__).resolve().parents[1].parent / "shared" / "data"))
    path = shared / _FILE
    if path.exists():
        rows = [line.split() for line in path.read_text().splitlines()]
        return "real e-mails", [(tail, head, int(seconds)) for tail, head, seconds in rows]
    return "generated, shaped like e-mail", list(islice(_generated(), 83_083))


def _generated(seed: int = 1) -> Iterator[Row]:
    """Heavy-tailed senders with few, favoured contacts, 7 in 10 of them answering."""
    dice = random.Random(seed)
    activity = [dice.paretovariate(1.2) for _ in range(_PEOPLE)]
    contacts: dict[int, list[int]] = {person: [] for person in range(_PEOPLE)}
    for person in range(_PEOPLE):
        for other in dice.choices(range(_PEOPLE), activity, k=min(120, int(4 * activity[person]) + 3)):
            if other != person:
                contacts[person].append(other)
                if dice.random() < 0.7:
                    contacts[other].append(person)
    seconds = 0
    while True:
        sender = dice.choices(range(_PEOPLE), activity)[0]
        receiver = contacts[sender][min(int(dice.paretovariate(0.8)) - 1, len(contacts[sender]) - 1)]
        seconds += dice.randrange(300)
        yield str(sender), str(receiver), seconds


def _target_size(seed: int = 2) -> Iterator[Row]:
    """2,000 people in 15,000 directed pairs; how often a pair talks is heavy-tailed."""
    dice = random.Random(seed)
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < 15_000:
        tail, head = dice.randrange(2_000), dice.randrange(2_000)
        if tail != head:
            pairs.add((tail, head))
    ordered = sorted(pairs)
    talk = [dice.paretovariate(1.2) for _ in ordered]
    seconds = 1_700_000_000
    while True:
        for tail, head in dice.choices(ordered, talk, k=1_000):
            seconds += dice.randrange(3)
            yield f"EMP_{tail:04}", f"EMP_{head:04}", seconds


def fill(client: redis.Redis, stream: str, rows: list[Row], count: int, prefix: str = "e") -> None:
    """Add `count` events with ids of their own, going round `rows` as often as needed."""
    with client.pipeline(transaction=False) as pipe:
        for number in range(count):
            tail, head, seconds = rows[number % len(rows)]
            fields = {"id": f"{prefix}{number}", "source": tail, "target": head, "type": "email", "timestamp": seconds}
            pipe.xadd(stream, fields)  # type: ignore[arg-type]
            if number % 2_000 == 1_999:
                pipe.execute()
        pipe.execute()
