"""A Singer tap and target as a peer in `make bench-salesforce`: singer-io's tap (REST), MeltanoLabs' target (upsert).

Both programs run unchanged in environments of their own (they want different versions of jsonschema); what the tap
sends to Salesforce's login server reaches the simulator. The tap knows no filter: it reads the whole object.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from benchmarks.salesforce_peers import FIELDS
from local.layout import STATE_DIR
from local.salesforce.testing import SalesforceServer

_HERE = Path(__file__).parent
_SOBJECT = "npe5__Affiliation__c"
_SCHEMA = "singer"
_SAMPLE_SECONDS = 0.02
# Read by the tap's Python at its start.
_REDIRECT = """
import os, re, requests
send = requests.Session.send
def here(self, request, **options):
    request.url = re.sub(r"https://[^/]+", os.environ["SALESFORCE_URL"], request.url)
    return send(self, request, **options)
requests.Session.send = here
"""


def programs() -> tuple[Path, Path]:
    """Return tap and target; installed at the first call."""
    return (
        _environment("requirements-salesforce-tap.txt") / "tap-salesforce",
        _environment("requirements-salesforce-target.txt") / "target-postgres",
    )


def run(
    salesforce: SalesforceServer, database: str, tap: Path, target: Path, *, again: bool = False
) -> tuple[int, float, float, float]:
    """Move the object; return rows, seconds, CPU seconds of both processes (imports included), and their peak MB.

    `again`: only what has changed since the newest record that is there, whose rows do not count.

    Raises RuntimeError with what a program said when it failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sitecustomize.py").write_text(_REDIRECT)
        env = {**os.environ, "PYTHONPATH": name, "SALESFORCE_URL": salesforce.instance_url}
        source = _written(folder / "tap.json", _login(salesforce))
        sink = _written(
            folder / "target.json",
            {
                "sqlalchemy_url": database.replace("postgresql://", "postgresql+psycopg://"),
                "default_target_schema": _SCHEMA,
            },
        )
        found = subprocess.run([str(tap), "--config", source, "--discover"], check=True, capture_output=True, env=env)
        catalog = _written(folder / "catalog.json", _selected(json.loads(found.stdout), incremental=again))
        read = [str(tap), "--config", source, "--properties", catalog]
        if again:
            (newest,) = _asked(database, 'SELECT max("SystemModstamp") FROM {}')
            since = f"{newest.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
            state = {"bookmarks": {_SOBJECT: {"SystemModstamp": since, "version": None}}}
            read += ["--state", _written(folder / "state.json", state)]
        salesforce.forget_requests()
        begun = time.perf_counter()
        cpu, peak = _pipe([read, [str(target), "--config", sink]], env)
        seconds = time.perf_counter() - begun
    return 0 if again else int(_asked(database, "SELECT count(*) FROM {}")[0]), seconds, cpu, peak


def _asked(database: str, statement: LiteralString) -> tuple[Any, ...]:
    with psycopg.connect(database) as connection:
        return connection.execute(sql.SQL(statement).format(sql.Identifier(_SCHEMA, _SOBJECT))).fetchone() or ()


def _environment(requirements: str) -> Path:
    folder = STATE_DIR / requirements.removesuffix(".txt").replace("requirements", "bench")
    if not folder.exists():
        print(f"installing {requirements} into an environment of its own ...", flush=True)
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", str(_HERE / requirements)], check=True)
    return folder / "bin"


def _login(salesforce: SalesforceServer) -> dict[str, str]:
    return {
        "client_id": salesforce.settings.consumer_key,
        "client_secret": salesforce.settings.consumer_secret,
        "refresh_token": salesforce.sessions(issue="refresh_token")["token"],
        "start_date": "2000-01-01T00:00:00Z",
        "api_type": "REST",  # its other way is Bulk 1, which the simulator does not speak
    }


def _written(file: Path, content: Mapping[str, Any]) -> str:
    file.write_text(json.dumps(content))
    return str(file)


def _selected(catalog: dict[str, Any], *, incremental: bool) -> dict[str, Any]:
    """Select the object, and of it the fields that everybody reads; a state counts only when it is incremental."""
    streams = [stream for stream in catalog["streams"] if stream["tap_stream_id"] == _SOBJECT]
    for stream in streams:
        for each in stream["metadata"]:
            each["metadata"]["selected"] = not each["breadcrumb"] or each["breadcrumb"][-1] in FIELDS
            if incremental and not each["breadcrumb"]:
                each["metadata"] |= {"replication-method": "INCREMENTAL", "replication-key": "SystemModstamp"}
    return {**catalog, "streams": streams}


def _pipe(commands: Sequence[Sequence[str]], env: Mapping[str, str]) -> tuple[float, float]:
    """Run a pipeline; return CPU seconds and peak MB of all its processes."""
    with tempfile.TemporaryFile() as said:
        running: list[subprocess.Popen[bytes]] = []
        for number, command in enumerate(commands):
            source = running[-1].stdout if running else subprocess.DEVNULL
            sink = said if number == len(commands) - 1 else subprocess.PIPE
            running.append(subprocess.Popen(command, stdin=source, stdout=sink, stderr=said, env=env))
            if running[0].stdout is not None and number:
                running[0].stdout.close()  # the tap notices when the target ends
        cpu, peak, left = 0.0, 0.0, {each.pid: each for each in running}
        while left:
            peak = max(peak, sum(map(_peak_mb, left)))
            for pid, each in tuple(left.items()):
                done, status, used = os.wait4(pid, os.WNOHANG)
                if done:
                    del left[pid]
                    each.returncode = os.waitstatus_to_exitcode(status)
                    cpu += used.ru_utime + used.ru_stime
            time.sleep(_SAMPLE_SECONDS)
        if any(each.returncode for each in running):
            said.seek(0)
            raise RuntimeError(said.read().decode(errors="replace")[-3000:])
    return cpu, peak


def _peak_mb(pid: int) -> float:
    # Not ru_maxrss: that one begins with the memory of the process that started it.
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) / 1024 if found else 0.0
