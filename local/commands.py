"""The commands up, down and status, as a person sees them."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from local import envfile, launcher, process, reach
from local.errors import PartError
from local.launcher import Launch, LaunchError, Ticker
from local.part import NoAnswerError, NotReadyError, Part
from local.progress import Screen
from local.simulators.settings import INBOX
from local.system import LocalSystem

# Seconds: an answer that takes longer than SLOW is said to be slow, one that takes longer than PATIENCE is none.
SLOW, PATIENCE = 3.0, 30.0


def up(state_dir: Path) -> int:
    """Start everything and leave it running; harmless when it runs."""
    launch, headline = start_or_attach(state_dir)
    print(summary(state_dir, headline))
    if launch is not None:
        launch.detach()
    return 0


def start_or_attach(state_dir: Path) -> tuple[Launch | None, str]:
    """Start the system and return its launch, or wait for the one that is there (None); and what to say of it."""
    begun = time.monotonic()
    while True:
        if launcher.is_running(state_dir):
            if launcher.describe(state_dir).get("status") != "ready":
                print("the system is being started by another process: waiting for it", flush=True)
            if launcher.wait_until_ready(state_dir):
                return None, "running already"
            continue  # it gave up: our turn
        screen = Screen()
        launch = Launch(state_dir, report=screen)
        print(f"starting the local system in {shown(state_dir)}", flush=True)
        try:
            with Ticker(screen):
                launch.start()
        except LaunchError:
            if launcher.is_running(state_dir):
                continue  # another process was faster
            raise
        except KeyboardInterrupt:
            print("\ninterrupted: stopping what was started", file=sys.stderr, flush=True)
            launch.stop()
            raise
        return launch, f"ready after {time.monotonic() - begun:.1f} s"


def down(state_dir: Path) -> int:
    """Stop everything this state directory has running."""
    begun = time.monotonic()
    if launcher.stop(state_dir):
        print(f"stopped after {time.monotonic() - begun:.1f} s; data are kept in {shown(state_dir)}")
    else:
        print("nothing was running")
    return 0


def status(state_dir: Path) -> int:
    """Show every part: process, address, its own answer. Exit code 1 when something is not well."""
    found = launcher.describe(state_dir)
    if not found:
        print("not running (start it: make up)")
        return 1
    since = datetime.fromtimestamp(float(found["since"])).astimezone()
    print(f"{found['status']} since {since:%Y-%m-%d %H:%M:%S}, supervisor {found['supervisor']['pid']}")
    well = found["status"] == "ready"
    system = LocalSystem(state_dir, environ={})
    parts = [part for part in system.parts if part.name in found["parts"]]
    # A system that was started before the last pull does not tell.
    yours = found.get("yours", {})
    with ThreadPoolExecutor(len(parts) + 1, thread_name_prefix="status") as pool:
        unreached = pool.submit(reach.troubles, envfile.read(state_dir / "env"), yours)
        for part, (answer, is_well) in zip(parts, pool.map(health, parts), strict=True):
            known: dict[str, Any] = found["parts"].get(part.name) or {}
            print(f"  {part.name:<14} {_process(known.get('pid')):<30} {known.get('where', ''):<24} {answer}")
            well = well and is_well
    for name, variable in yours.items():
        # Not ours to mend, and no reason to call the system itself unwell.
        answer = f"warning: {unreached.result()[name]}" if name in unreached.result() else "can be reached"
        print(f"  {name:<14} {'yours: ' + variable + ' is set':<55} {answer}")
    for name in found["external"].keys() - {"postgres", *yours}:
        print(f"  {name:<14} yours: {found['external'][name]} is set")
    return 0 if well else 1


def health(part: Part, patience: float = PATIENCE, slow: float = SLOW) -> tuple[str, bool]:
    """Ask a part how it is, in words and as yes or no.

    A machine under load delays answers, which is no fault of the part: it is asked again for so many seconds.
    """
    begun = time.monotonic()
    while True:
        try:
            part.check()
        except NoAnswerError as error:
            if process.wait_until(begun + patience, 0.2):
                continue
            return f"not well: no answer within {patience:.0f} s ({error})", False
        except (NotReadyError, PartError) as error:
            return f"not well: {error}", False
        took = time.monotonic() - begun
        return f"healthy, slow to answer ({took:.0f} s)" if took > slow else "healthy", True


def summary(state_dir: Path, headline: str, *, runs: bool = True) -> str:
    """Return the few lines a person needs: address, login, logs, and how to stop what `runs`."""
    env = envfile.read(state_dir / "env")
    lines = [
        "",
        f"{headline}",
        f"  Airflow    {env.get('AIRFLOW_API_URL', '-')}",
        f"  login      {env.get('AIRFLOW_API_USERNAME', '-')} / {env.get('AIRFLOW_API_PASSWORD', '-')}",
        f"  alerts     {env.get(INBOX, 'go to your own services')}",
        f"  servers    {_addresses(state_dir)}",
        f"  variables  . {shown(state_dir / 'env')}",
        f"  logs       {shown(state_dir / 'logs')}",
        *(["  stop       make down"] if runs else []),
        "",
    ]
    return "\n".join(lines)


def shown(path: Path) -> str:
    """Return a path as short as it can be shown."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _addresses(state_dir: Path) -> str:
    found = launcher.describe(state_dir)
    parts = {name: part.get("where", "") for name, part in found.get("parts", {}).items()}
    own = [f"{name} {where}" for name, where in parts.items() if where and name != "api-server"]
    return ", ".join([*own, *(f"{name} (yours)" for name in found.get("yours", {}))])


def _process(pid: object) -> str:
    try:
        found = psutil.Process(int(str(pid)))
        memory = found.memory_info().rss / 1e6
    except (psutil.Error, ValueError):
        return "no process"
    return f"pid {found.pid}, {memory:.0f} MB"
