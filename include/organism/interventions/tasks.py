"""The bodies of the interventions' tasks. Drivers are imported inside: every parse of a DAG file imports this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from include.connections import action_systems, neo4j_driver

if TYPE_CHECKING:
    from include.organism.interventions.catalogue import System
    from include.organism.interventions.executor import Executor


@contextmanager
def executors(system: System) -> Iterator[Executor]:
    """What carries a system's actions out, over its connection."""
    if system == "graph":
        from include.organism.interventions.graph_executor import GraphExecutor

        with neo4j_driver() as (driver, database):
            yield GraphExecutor(driver, database)
    else:
        from include.organism.interventions.action_systems import ActionSystems

        with action_systems() as client:
            yield ActionSystems(client)
