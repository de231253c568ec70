"""Starts and watches worker processes, from the side of the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from tests.faults.world import STEPS, World, eventually


class Worker:
    """One child process that runs the steps of one run."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.said: list[dict[str, Any]] = []

    def _find(self, key: str) -> Any:
        return next((line[key] for line in self.said if key in line), None)

    @property
    def pid(self) -> int:
        return eventually(lambda: self._find("pid"))

    @property
    def error(self) -> str | None:
        """Name of the exception that ended it."""
        return self._find("error")

    @property
    def error_class(self) -> str | None:
        return self._find("error_class")

    @property
    def transient(self) -> bool:
        """Whether its error is one that is tried again."""
        return bool(self._find("transient"))

    @property
    def peak_mb(self) -> float:
        """The most memory it ever had."""
        return self._find("peak_mb")

    def result(self, step: str) -> dict[str, Any]:
        return next(line["result"] for line in self.said if line.get("step") == step)

    def wait(self, seconds: float = 120) -> int:
        """Exit code; negative when a signal ended it."""
        return eventually(lambda: [code] if (code := self._find("exit")) is not None else [], seconds)[0]

    def wait_stopped(self) -> None:
        """Until a SIGSTOP has stopped it."""
        eventually(lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)

    def kill(self) -> bool:
        """End it; whether it had not ended by itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def ended(self) -> bool:
        return self._find("exit") is not None


class Workers:
    """The process that forks the workers."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._workers: dict[int, Worker] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._workers[said["job"]].said.append(said)

    def kill_all(self) -> None:
        """Kill those that still run."""
        for worker in self._workers.values():
            if not worker.ended:
                worker.kill()

    def start(
        self,
        world: World,
        run: str | None = None,
        *,
        fault: str = "",
        steps: tuple[str, ...] = STEPS,
        die: bool = False,
        page: int = 10_000,
        redis: str | None = None,
        neo4j: str | None = None,
        **settings: Any,
    ) -> Worker:
        """Begin a run in a process of its own.

        Args:
            fault: value of FAULT_AT.
            die: SIGKILL itself after the last of `steps`.
            page: entries in one XACK.
            redis: another address, for a proxy in between; likewise `neo4j`.
        """
        return self._begin(
            {
                "run": run or world.new_run(),
                "redis": redis or world.urls[0],
                "neo4j": neo4j or world.urls[1],
                "environment": {"FAULT_AT": fault},
                "settings": asdict(replace(world.settings, **settings)),
                "steps": steps,
                "die": die,
                "page": page,
            }
        )

    def call(self, module: str, function: str, *, fault: str = "", **arguments: Any) -> Worker:
        """Call a function in a process of its own; the arguments and the result are JSON.

        Args:
            module: dotted name.
            function: in it.
            fault: value of FAULT_AT.
            arguments: of the function.
        """
        job = {"module": module, "function": function, "arguments": arguments, "environment": {"FAULT_AT": fault}}
        return self._begin(job)

    def _begin(self, job: dict[str, Any]) -> Worker:
        worker = Worker(len(self._workers))
        self._workers[worker.number] = worker
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"job": worker.number, **job}).encode() + b"\n")
        self._process.stdin.flush()
        return worker


@contextmanager
def worker_process() -> Iterator[Workers]:
    """Run the forking process until the end of the block; its children end with it."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.faults.worker"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Workers(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
