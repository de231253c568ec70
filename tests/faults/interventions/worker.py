"""A process that works on one intervention, to be killed: `python -m tests.faults.interventions.worker`.

It reads one job (JSON) a line, forks a child for it, because the imports take seconds and a fork none, and prints how
the child ended: its exit code, negative when a signal ended it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime
from uuid import UUID

from scipy import stats

from include.organism.interventions import (
    action_systems,
    catalogue,
    execution,
    graph_executor,
    outcomes,
    population,
    proposals,
)
from include.organism.interventions.execution import Desk
from include.organism.interventions.tasks import executors
from tests.interventions import MEASURED, SETTINGS

assert stats
assert action_systems
assert catalogue
assert graph_executor  # loaded here once, not in every child


def main() -> None:
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _child(json.loads(line))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _child(job: dict[str, str]) -> None:
    code = 1
    try:
        os.environ |= job["environment"]  # type: ignore[arg-type, operator]
        _work(job)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the parent of this child judges it
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


def _work(job: dict[str, str]) -> None:
    from include.connections import neo4j_driver, warehouse

    now = datetime.fromisoformat(job["now"])
    with warehouse() as connection, neo4j_driver() as (driver, database):
        desk = Desk(
            connection,
            lambda unwilling: population.read(driver, database, SETTINGS, unwilling),
            executors,
            SETTINGS,
            job["run"],
            lambda: now,
        )
        match job["work"]:
            case "propose":
                people = desk.population(set())
                proposals.place(desk, proposals.from_estimates(desk, MEASURED, people), people, "pipeline")
            case "execute":
                execution.execute(desk, UUID(job["intervention"]))
            case "roll_back":
                execution.roll_back(desk, UUID(job["intervention"]), "harmful", "tested")
            case "check":
                outcomes.check(desk)


if __name__ == "__main__":
    main()
