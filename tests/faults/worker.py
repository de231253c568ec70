"""A process that runs the steps for real, to be killed and stopped: `python -m tests.faults.worker`.

It reads one job (JSON) a line and forks a child for it, because the imports take two seconds and a
fork none. Of each child it prints `{"job", "pid"}`, later `{"job", "exit"}`; the child prints what
each step gave, or the error that ended it. All children are killed when the input ends.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import resource
import select
import signal
import sys
from dataclasses import replace
from typing import Any

from airflow.sdk import Connection

from include.operations.errors import classify
from include.organism import stream
from include.organism.settings import Settings
from tests.faults.world import open_clients, run_steps

_POLL_S = 0.01


assert Connection  # loaded here once, not in every child


def main() -> None:
    logging.disable(logging.CRITICAL)
    children: dict[int, int] = {}
    try:
        _serve(children)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _serve(children: dict[int, int]) -> None:
    left = b""
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], _POLL_S if children else None)
        if ready:
            got = os.read(sys.stdin.fileno(), 65_536)
            if not got:
                return
            *lines, left = (left + got).split(b"\n")
            for line in lines:
                job = json.loads(line)
                children[_fork(job)] = job["job"]
        for pid in list(children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                _say(job=children.pop(pid), exit=os.waitstatus_to_exitcode(status))


def _fork(job: dict[str, Any]) -> int:
    if "module" in job:
        # Loaded here once, not in every child.
        importlib.import_module(job["module"])
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _say(job=job["job"], pid=os.getpid())
        _work(job)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the parent of this child judges it
        found = classify(error)
        said = {"error": type(error).__name__, "error_class": found.error_class, "transient": found.transient}
        _say(job=job["job"], text=str(error), **said)
    finally:
        os._exit(code)


def _work(job: dict[str, Any]) -> None:
    os.environ |= job["environment"]
    if "module" in job:
        result = getattr(importlib.import_module(job["module"]), job["function"])(**job["arguments"])
        _say(job=job["job"], step=job["function"], result=result)
        return
    stream._PAGE = job["page"]
    settings = replace(Settings(), **job["settings"])
    with open_clients(job["redis"], job["neo4j"]) as clients:
        done = run_steps(clients, settings, job["run"], job["steps"])
    _say(job=job["job"], peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    for step, result in done.items():
        _say(job=job["job"], step=step, result=result)
    if job["die"]:
        os.kill(os.getpid(), signal.SIGKILL)


def _say(**what: Any) -> None:
    # One write of a line: several children share this pipe.
    os.write(sys.stdout.fileno(), (json.dumps(what) + "\n").encode())


if __name__ == "__main__":
    main()
