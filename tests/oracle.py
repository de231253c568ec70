"""What the graph must be, worked out from the valid events by other means than the code under test.

Plain dictionaries and exact sums; no numpy, no batches, no imports from `include`.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Event = Mapping[str, str]
DAY_MS = 86_400_000
WEIGHTS = {"slack_message": 1.0, "jira_action": 3.0, "calendar_event": 5.0}
MAILS = "email-Eu-core-temporal-subset.txt"


class Edge(NamedTuple):
    count: int
    weight: float
    recency_weight: float
    first_at: int
    last_at: int


class Person(NamedTuple):
    degree: int
    degree_centrality: float
    strength: float


@dataclass
class Graph:
    """Edges by (source, target), people by id; the counts are of events, and of interactions written or skipped."""

    edges: dict[tuple[str, str], Edge]
    people: dict[str, Person]
    first_time: int = 0
    duplicates: int = 0
    written: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


def expected(events: Iterable[Event], half_life_days: float = 14.0) -> Graph:
    """Recompute the graph from all valid events, in the order of the stream."""
    graph, seen = Graph({}, {}, skipped={"system": 0, "self_loop": 0}), set()
    parts: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for event in events:
        if event["id"] in seen:
            graph.duplicates += 1
            continue
        seen.add(event["id"])
        graph.first_time += 1
        source, at = event["source"], time_ms(event["timestamp"])
        weight = float(event["weight"]) if "weight" in event else WEIGHTS.get(event["type"], 1.0)
        for target in people_of(event["target"]):
            if source == "SYSTEM":
                graph.skipped["system"] += 1
            elif source == target:
                graph.skipped["self_loop"] += 1
            else:
                graph.written += 1
                parts[source, target].append((weight, at))
    graph.edges = {pair: _edge(part, half_life_days * DAY_MS) for pair, part in parts.items()}
    graph.people = _people(graph.edges)
    return graph


def _edge(part: list[tuple[float, int]], half_life_ms: float) -> Edge:
    last = max(at for _, at in part)
    recency = math.fsum(weight * 0.5 ** ((last - at) / half_life_ms) for weight, at in part)
    return Edge(len(part), math.fsum(weight for weight, _ in part), recency, min(at for _, at in part), last)


def _people(edges: Mapping[tuple[str, str], Edge]) -> dict[str, Person]:
    neighbours, strength = defaultdict(set), defaultdict(list)
    for (source, target), edge in edges.items():
        for one, other in ((source, target), (target, source)):
            neighbours[one].add(other)
            strength[one].append(edge.weight)
    others = len(neighbours) - 1
    return {
        who: Person(len(near), len(near) / others, math.fsum(strength[who])) for who, near in sorted(neighbours.items())
    }


def people_of(target: str) -> set[str]:
    return {str(item) for item in json.loads(target)} if target.startswith("[") else {target}


def time_ms(text: str) -> int:
    try:
        return int((Decimal(text) * 1000).to_integral_value())
    except InvalidOperation:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def read_graph(driver: Any) -> Graph:
    """Read the graph as it stands in Neo4j."""
    edges = driver.execute_query(
        "MATCH (a:Employee)-[r:INTERACTS]->(b:Employee) "
        "RETURN a.id, b.id, r.count, r.weight, r.recency_weight, r.first_at, r.last_at"
    ).records
    people = driver.execute_query("MATCH (e:Employee) RETURN e.id, e.degree, e.degree_centrality, e.strength").records
    graph = Graph({(row[0], row[1]): Edge(*row[2:]) for row in edges}, {row[0]: Person(*row[1:]) for row in people})
    assert len(graph.edges) == len(edges), "a pair has two edges in one direction"
    assert len(graph.people) == len(people), "a person has two nodes"
    return graph


def differences(found: Graph, wanted: Graph, limit: int = 10) -> list[str]:
    """Where two graphs differ, as readable lines; empty when they are equal (floats to 1e-9 relative)."""
    lines = []
    for kind in ("edges", "people"):
        ours, theirs = getattr(found, kind), getattr(wanted, kind)
        lines += [
            f"{kind} {key}: found {ours.get(key)}, wanted {theirs.get(key)}"
            for key in sorted(ours.keys() | theirs.keys())
            if key not in ours or key not in theirs or not _close(ours[key], theirs[key])
        ]
    return lines[:limit]


def _close(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(
        a == b if isinstance(b, int) else a is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-280)
        for a, b in zip(one, other, strict=True)
    )


def mails() -> list[Event]:
    """Real e-mails as events; skips the test when the file is not there."""
    folder = Path(os.environ.get("SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / MAILS).is_file():
        pytest.skip(f"no {MAILS}: set SHARED_DATA to the folder that holds it")
    rows = (line.split() for line in (folder / MAILS).read_text(encoding="ascii").splitlines())
    return [
        {"id": f"mail-{number}", "source": row[0], "target": row[1], "type": "email", "timestamp": row[2]}
        for number, row in enumerate(rows)
    ]
