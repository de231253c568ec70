"""The points of the four tasks at which something happens to them, and what may be seen there."""

from __future__ import annotations

from typing import Any

from tests.chain import STEPS, WHEN, Chain
from tests.faults.workers import Worker, Workers

REFRESH, ANALYSE, STORE, EVALUATE = STEPS
POINTS = {
    REFRESH: (
        "refresh.begun",
        "refresh.read",
        "refresh.measured",
        "metrics.before_write",
        "metrics.in_transaction",
        "metrics.after_commit",
        "refresh.stored",
        "nodes.in_transaction",
        "nodes.after_batch",
        "refresh.nodes_written",
    ),
    ANALYSE: ("analysis.before_estimate", "analysis.before_write", "analysis.in_transaction", "analysis.after_commit"),
    STORE: (
        "store.scores_filled",
        "rollup.in_transaction",
        "rollup.in_transaction:2",
        "rollup.after_commit",
        "teams.before_read",
        "teams.in_transaction",
        "teams.after_commit",
    ),
    EVALUATE: (
        "interventions.proposal.before_commit",
        "interventions.proposal.committed",
        "interventions.proposal.before_commit:2",
    ),
}
# What is committed together: a reader sees all of it as it was, or all of it as it will be.
_TOGETHER = {
    REFRESH: (("measured",),),
    ANALYSE: (("estimates", "scenarios", "pages"),),
    STORE: (("measured",), ("hourly", "daily"), ("groups", "cohorts", "runs")),
}


def every(*steps: str) -> list[tuple[str, str]]:
    """Each step with each of its points."""
    return [(step, point) for step in steps for point in POINTS[step]]


def start(workers: Workers, chain: Chain, step: str, fault: str = "", run: str = "scheduled", at: Any = WHEN) -> Worker:
    """Begin a task in a process of its own; `fault` as in `every`, with what happens there."""
    point, _, action = fault.partition("|")
    name, _, nth = point.partition(":")
    return workers.call(
        "tests.chain_worker",
        "work",
        fault=f"{name}:{action}:{nth or 1}" if point else "",
        step=step,
        at=at.isoformat(),
        run=run,
        environment=chain.servers.environment(),
    )


def nothing_is_half_published(chain: Chain, step: str) -> None:
    """Every number that can be seen is the last run's, or this one's with all that belongs to it."""
    before, now, after = chain.before(step), chain.now(), chain.after(step)
    for names in _TOGETHER.get(step, ()):
        seen = [now[name] for name in names]
        assert seen in ([before[name] for name in names], [after[name] for name in names]), names
    if step == REFRESH:
        stored = len(now["measured"]) > len(before["measured"])
        assert chain.rows("select completed_at is not null from organism.metric_run where measured_at = %s", WHEN) in (
            [(stored,)],
            [] if not stored else [(True,)],
        )
    if step == EVALUATE:
        # Each proposal with its entry in the audit.
        assert set(map(repr, now["proposals"])) <= set(map(repr, after["proposals"]))
        assert {row[0] for row in now["proposals"]} == {row[0] for row in now["audit"]}


def as_if_nothing_had_happened(chain: Chain, step: str) -> None:
    """The state is that of the undisturbed run."""
    now, after = chain.now(), chain.after(step)
    different = {name: [row for row in now[name] if row not in after[name]] for name in after}
    assert now == after, {name: rows[:2] for name, rows in different.items() if now[name] != after[name]}
    if step == REFRESH:
        _nodes_and_caches(chain)


def _nodes_and_caches(chain: Chain) -> None:
    stored = {
        row[0]: row[1:]
        for row in chain.rows(
            "select employee_id, betweenness_centrality, clustering_coefficient from organism.current_metrics"
        )
    }
    names = ("betweenness_centrality", "clustering_coefficient")
    nodes = {person: tuple(node.get(name) for name in names) for person, node in chain.nodes().items()}
    assert {person: values for person, values in nodes.items() if values != (None, None)} == stored
    assert {f"metrics:employee:{person}" for person in stored} <= chain.cached().keys()
