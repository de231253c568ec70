"""A component that lives without a heartbeat is ended: that one, that process, and only when it alone is to blame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from local.airflow import AirflowHome, ApiServer, Component, DagProcessor, Scheduler, Triggerer
from local.heartbeats import SILENCE, Heartbeats
from local.part import NotReadyError


class World:
    """Real processes that do nothing, what the api-server says of them, and a clock."""

    def __init__(self, home: AirflowHome) -> None:
        self.components = [_idle(kind)(home, dict) for kind in (ApiServer, Scheduler, DagProcessor, Triggerer)]
        _, self.scheduler, _, _ = self.components
        self.now = 1000.0
        self.unhealthy: set[str] = set()
        self.silent = False
        self._heartbeats = Heartbeats(self.components, self._health, lambda: self.now)

    def _health(self) -> dict[str, Any]:
        if self.silent:
            raise NotReadyError("the api-server is silent")
        names = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return {name: {"status": "unhealthy" if name in self.unhealthy else "healthy"} for name in names}

    def look_after(self, seconds: float) -> list[str]:
        """Look later; returns which components ended."""
        before = [component for component in self.components if component.is_running]
        self.now += seconds
        self._heartbeats.look()
        return [component.name for component in before if not component.is_running]


def _idle(kind: type[Component]) -> type[Component]:
    class Idle(kind):  # type: ignore[misc, valid-type]
        patience: ClassVar[float] = 60.0

        def _command(self) -> list[str]:
            return ["sleep", "600"]

        def _prepare(self) -> None:
            pass

        def _before_check(self) -> None:
            pass

        def check(self) -> None:
            pass

    return Idle


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(AirflowHome(tmp_path, tmp_path, usual_port=False))
    try:
        for component in made.components:
            component.start()
        yield made
    finally:
        for component in made.components:
            component.kill()


def test_only_the_silent_one_is_ended_and_only_after_a_minute(world: World) -> None:
    world.unhealthy = {"scheduler"}
    assert [world.look_after(seconds) for seconds in (1, SILENCE - 0.1, 0.1)] == [[], [], ["scheduler"]]
    world.scheduler.start()
    assert [world.look_after(seconds) for seconds in (1, SILENCE - 0.1)] == [[], []], "its successor has a minute, too"


def test_a_sign_of_life_begins_the_minute_anew(world: World) -> None:
    world.unhealthy = {"triggerer"}
    assert [world.look_after(seconds) for seconds in (0, SILENCE - 1)] == [[], []]
    world.unhealthy = set()
    assert world.look_after(1) == []
    world.unhealthy = {"triggerer"}
    assert [world.look_after(seconds) for seconds in (1, SILENCE - 1, 1)] == [[], [], ["triggerer"]]


def database_away(world: World) -> None:
    world.unhealthy |= {"metadatabase"}


def api_server_silent(world: World) -> None:
    world.silent = True


@pytest.mark.parametrize("outage", [database_away, api_server_silent])
def test_nobody_is_blamed_for_an_outage(world: World, outage: Callable[[World], None]) -> None:
    world.unhealthy = {"scheduler", "dag_processor", "triggerer"}
    assert [world.look_after(seconds) for seconds in (0, SILENCE - 1)] == [[], []]
    outage(world)
    assert [world.look_after(10) for _ in range(12)] == [[]] * 12
    world.silent = False
    world.unhealthy -= {"metadatabase"}
    assert [world.look_after(seconds) for seconds in (1, SILENCE - 1)] == [[], []], "they have a minute to come back"
    assert world.look_after(1) == ["scheduler", "dag-processor", "triggerer"]


def test_a_start_takes_as_long_as_it_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.unhealthy = {"scheduler"}
    monkeypatch.setattr(type(world.scheduler), "is_ready", False)
    assert [world.look_after(seconds) for seconds in (0, 10 * SILENCE)] == [[], []]


def test_a_process_that_was_replaced_meanwhile_is_left_alone(world: World) -> None:
    old = world.scheduler.pid
    assert old is not None
    world.scheduler.restart()
    assert not world.scheduler.stop_if(old)
    assert world.scheduler.is_running
