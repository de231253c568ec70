"""What the 6-hour pipeline of a demo has found out, beside the truth that the data were made with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from local import demo_data
from local.demo_data import Person
from local.demo_history import EFFECT, History

# Seed of who knows whom in the past.
_CONTACTS: Final = 7
_ESTIMATE: Final = """
select run_id, verdict, words, estimate, ci_low, ci_high, naive_estimate from organism.causal_estimate
where treatment = 'degree_centrality' and outcome = 'burnout_score' order by measured_at desc limit 1
"""
_WAITING: Final = """
select action, target_kind, target_value, expected_effect, expected_low, expected_high from organism.intervention
where status = 'pending_approval' and expires_at > now() order by proposed_at, id
"""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer of the analysis, and what waits because of it.

    Attributes:
        short: for a line of the summary.
        text: the lines below it.
        waiting: where to decide about what it suggests; empty: nothing waits.
    """

    short: str
    text: str
    waiting: str = ""


def usual_degrees(people: Sequence[Person]) -> dict[str, float]:
    """How many of the others each person is usually in contact with, as a share, by id."""
    met: dict[str, set[str]] = {person.id: set() for person in people}
    for source, known in demo_data.contacts(list(people), random.Random(_CONTACTS)).items():
        for target in known:
            met[source].add(target)
            met[target].add(source)
    return {person: len(others) / (len(people) - 1) for person, others in met.items()}


def seed(answers: Path) -> tuple[int, int]:
    """Give the demo's people a year of measurements, and write the file of their answers.

    Returns:
        Measurements added, answers in the file.

    Raises:
        psycopg.Error: the warehouse refuses.
    """
    from include.connections import warehouse

    people = demo_data.organisation()
    past = History(people, usual_degrees(people), datetime.now(UTC).date())
    with warehouse() as connection:
        added = past.write_measurements(connection)
    return added, past.write_assessments(answers)


def newest(airflow: str) -> Found | None:
    """Read the newest answer about contacts and burnout; None: there is none. `airflow` is the address of its UI.

    Raises:
        psycopg.Error: the warehouse cannot be asked.
    """
    from include.connections import warehouse

    with warehouse(quick=True) as connection:
        row = connection.execute(_ESTIMATE).fetchone()
        waiting = connection.execute(_WAITING).fetchall()
    return None if row is None else _said(row, waiting, airflow)


def _said(row: Sequence[Any], waiting: Sequence[Sequence[Any]], airflow: str) -> Found:
    run_id, verdict, words, estimate, low, high, naive = row
    page = f"{airflow}/organism/analysis/runs/{quote(run_id, safe='')}/index.html"
    if estimate is None:
        return Found("more below", f"\nwhat drives burnout: {verdict}. {' '.join(words)}\n  why          {page}\n")
    lines = [
        "what drives burnout: points of the score for 1.0 more of degree centrality",
        f"  estimate     {estimate:+.1f} (95 % interval {low:+.1f} to {high:+.1f}), {verdict}",
        f"  true effect  {EFFECT:+.1f}, by which the data were generated",
    ]
    if naive is not None:
        lines.append(f"  naive        {naive:+.1f}, from comparing people with each other instead of with themselves")
    lines.append(f"  the page     {page}")
    decide = f"{airflow}/required_actions"
    for action, kind, value, expected, worst, best in waiting:
        effect = f"expected {expected:+.2f} ({worst:+.2f} to {best:+.2f})"
        lines.append(f"  your turn    {action} for {kind} {value}, {effect}: {decide}")
    short = f"{estimate:+.1f} (95 %: {low:+.1f} to {high:+.1f}), true {EFFECT:+.1f}; more below"
    return Found(short, "\n".join(["", *lines, ""]), decide if waiting else "")
