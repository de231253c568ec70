"""Generated demo data: an organisation, its roster, and half a year of interactions. Same seed, same data.

The shape follows what is known of real e-mail in an institution: a tenth of the people send half of all messages,
two thirds of the pairs are reciprocal, four in ten pairs meet once only, most contacts are inside the team, work
happens in bursts on weekdays between 6 and 18 o'clock, and a message often goes to several people at once.
Nothing in it belongs to a real person.
"""

from __future__ import annotations

import csv
import json
import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

TEAMS = (
    ("platform", 24), ("product", 18), ("data", 16), ("mobile", 14), ("support", 26), ("sales", 28), ("marketing", 16),
    ("finance", 10), ("people", 8), ("research", 14), ("operations", 16), ("security", 7), ("office", 3),
)  # fmt: skip
FIRST = "Ada Ben Cleo Dan Eva Finn Gus Hana Ida Jon Kim Leo Mia Noa Oda Per Qin Ria Sam Tia Uwe Vera Wim Xia Yara Zoe"
LAST = "Abel Brook Cole Drew Ellis Frost Gray Hart Irwin Jones Kane Lane Moss North Owen Park Quill Reed Stone"
# One start of work an hour of the week day, as measured on real mail (index: hour, UTC).
HOURS = (3, 2, 1, 1, 1, 12, 33, 70, 97, 99, 86, 90, 87, 82, 65, 34, 22, 13, 9, 8, 5, 6, 4, 3)
WEEKDAYS = (106, 102, 102, 88, 87, 6, 8)
KINDS = (("slack_message", 62), ("email", 18), ("jira_action", 14), ("calendar_event", 6))
DAY = 86_400
# Default end of the data; a fixed one, so that a seed says all.
END = 1_717_027_200


@dataclass(frozen=True)
class Person:
    """One row of the roster."""

    id: str
    name: str
    team: str
    role: str
    manager_id: str
    is_manager: bool
    on_leave: bool = False
    opted_out: bool = False


def organisation(seed: int = 7) -> list[Person]:
    """Make about 200 people in teams; the first of a team leads it and reports to the director."""
    rng = random.Random(seed)
    names = rng.sample(
        [f"{first} {last}" for first in FIRST.split() for last in LAST.split()], sum(size for _, size in TEAMS) + 1
    )
    director = Person("p001", names.pop(), "office", "director", "", is_manager=True)
    people = [director]
    for team, size in TEAMS:
        lead = ""
        for _ in range(size):
            identifier = f"p{len(people) + 1:03d}"
            role = "specialist" if lead else "lead"
            flags = {"is_manager": not lead, "on_leave": rng.random() < 0.02, "opted_out": rng.random() < 0.02}
            people.append(Person(identifier, names.pop(), team, role, lead or director.id, **flags))
            lead = lead or identifier
    return people


class _Choice:
    """Weighted choice that is prepared once."""

    def __init__(self, rng: random.Random, items: list[Any], weights: list[float]) -> None:
        self._rng = rng
        self._items = items
        self._sums = list(accumulate(weights))

    def __call__(self) -> Any:
        return self._items[min(bisect(self._sums, self._rng.random() * self._sums[-1]), len(self._items) - 1)]


def contacts(people: list[Person], rng: random.Random) -> dict[str, dict[str, float]]:
    """Return who writes to whom, and how readily: mostly the own team, leads across teams, two thirds mutual."""
    fame = [rng.lognormvariate(0, 0.8) * (4.0 if person.is_manager else 1.0) for person in people]
    someone = _Choice(rng, people, fame)
    ties: dict[str, dict[str, float]] = {person.id: {} for person in people}
    for person in people:
        mates = [p for p in people if p.team == person.team and p.id != person.id]
        near = rng.sample(mates, min(len(mates), 3 + int(rng.paretovariate(1.2))))
        far = [someone() for _ in range(3 + int(2 * rng.paretovariate(1.1 if person.is_manager else 1.4)))]
        for other, closeness in [*((p, 5.0) for p in near), *((p, 0.7) for p in far[:60])]:
            if other.id == person.id:
                continue
            strength = closeness * rng.lognormvariate(0, 1.3)
            ties[person.id].setdefault(other.id, strength)
            if rng.random() < 0.42:
                ties[other.id].setdefault(person.id, strength * rng.uniform(0.3, 1.2))
    return {source: known for source, known in ties.items() if known}


def interactions(
    count: int = 50_000, days: int = 150, seed: int = 7, end: int = END, people: list[Person] | None = None
) -> Iterator[dict[str, str]]:
    """Yield the events of the days before `end`, in the order of their times, as the fields of stream entries."""
    rng = random.Random(seed)
    people = people if people is not None else organisation()
    ties = contacts(people, rng)
    teams: dict[str, list[str]] = {}
    for person in people:
        teams.setdefault(person.team, []).append(person.id)
    team_of = {person.id: person.team for person in people}
    led = {person.id for person in people if person.is_manager}
    drive = [rng.lognormvariate(0, 1.35) * (2.0 if source in led else 1.0) for source in ties]
    writers = _Choice(rng, list(ties), drive)
    partner = {source: _Choice(rng, list(known), list(known.values())) for source, known in ties.items()}
    kind = _Choice(rng, [name for name, _ in KINDS], [float(weight) for _, weight in KINDS])
    hour = _Choice(rng, list(range(24)), [float(weight) for weight in HOURS])
    today = end // DAY
    drafts: list[tuple[int, str, str, str]] = []
    while len(drafts) < count:
        day = today - rng.randrange(days)
        now = day * DAY + hour() * 3600 + rng.randrange(3600)
        # Day 0 of the epoch was a Thursday.
        if now > end - 7200 or rng.random() > WEEKDAYS[(day + 3) % 7] / max(WEEKDAYS):
            continue
        source = writers()
        # A burst: several messages in a row, some of which are answered within the hour.
        for _ in range(min(30, int(rng.paretovariate(1.3)))):
            target = partner[source]()
            what = kind()
            if what == "calendar_event":
                group = [mate for mate in teams[team_of[source]] if mate != source]
                invited = rng.sample(group, min(len(group), rng.randint(2, 6)))
                drafts.append((now, source, json.dumps(sorted({target, *invited})), what))
            else:
                drafts.append((now, source, target, what))
                if source in ties.get(target, {}) and rng.random() < 0.35:
                    drafts.append((now + int(rng.expovariate(1 / 900)) + 5, target, source, what))
            now += int(rng.expovariate(1 / 240))
    drafts = sorted((min(moment, end), source, target, what) for moment, source, target, what in drafts[:count])
    for number, (moment, source, target, what) in enumerate(drafts):
        yield {
            "id": f"demo-{seed}-{number:06d}",
            "source": source,
            "target": target,
            "type": what,
            "timestamp": str(moment),
        }


def broken(seed: int = 7, end: int = END) -> list[dict[str, str]]:
    """Return a few dozen events no producer should send: they become dead letters, or are counted and skipped."""
    good = {"source": "p002", "target": "p003", "type": "slack_message", "timestamp": str(end - DAY)}
    faults: list[dict[str, str]] = [
        {"weight": "NaN"},
        {"weight": "500"},
        {"weight": "heavy"},
        {"timestamp": "yesterday"},
        {"timestamp": str(end + 400 * DAY)},
        {"timestamp": "-5"},
        {"target": '["p003", 4]'},
        {"target": '["p003"'},
        {"source": "x" * 101},
        {"source": ""},
        {"metadata": "not json"},
        {"metadata": '["not", "an", "object"]'},
        {"colour": "blue"},
    ]
    skipped = [{"source": "SYSTEM"}, {"target": "p002"}, {"target": "[]"}]
    rows = [{"id": f"demo-{seed}-bad-{n:02d}", **good, **fault} for n, fault in enumerate((faults + skipped) * 2)]
    return [*rows, *({k: v for k, v in rows[0].items() if k != missing} for missing in ("type", "target", "source"))]


def write(directory: Path, count: int = 50_000, seed: int = 7, end: int = END) -> tuple[Path, Path]:
    """Write `roster.csv` and `interactions.jsonl` and return both paths."""
    directory.mkdir(parents=True, exist_ok=True)
    people = organisation()
    roster, events = directory / "roster.csv", directory / "interactions.jsonl"
    with roster.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Person)])
        table.writeheader()
        for person in people:
            row = asdict(person)
            table.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()})
    bad = broken(seed, end)
    every = max(1, count // (len(bad) + 1))
    with events.open("w", encoding="utf-8") as file:
        for number, event in enumerate(interactions(count, seed=seed, end=end, people=people), start=1):
            file.write(json.dumps(event) + "\n")
            if number % every == 0 and bad:
                file.write(json.dumps(bad.pop()) + "\n")
    return roster, events
