"""Airflow's settings, its metadata schema, and its four components as parts."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from local import process
from local.errors import PartError, last_lines
from local.files import Secrets, read_json, write_json, write_private
from local.part import NoAnswerError, NotReadyError, Part
from local.ports import HOST, Ports, is_free, must_be_ours
from local.progress import Report, quiet

ADMIN = "admin"
USUAL_PORT = 8080

# Settings a user may override by exporting the same variable before `make up`.
TUNABLE = {
    # Two cores: more workers only make each other miss their time-outs.
    "AIRFLOW__CORE__PARALLELISM": "4",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    # A scheduler that is back within 30 s does not yet see its predecessor as dead, and then looks only every 300 s.
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    # The scheduler sleeps this long between its rounds. 0.1 s instead of 1 s takes a four-task run from 4 s to under
    # one; the price is an idle scheduler that asks the database ten times a second (a few percent of one core).
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    # A new file is seen after 5 s, a changed one as soon as its time stamp is.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL": "error",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    # Masks secrets and personal values in every line of a task, with its tracebacks.
    "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "include.operations.airflow_logging.LOGGING_CONFIG",
    # The default asks the name server, which takes seconds when there is no network.
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
}


class AirflowHome:
    """Airflow's home below the state directory, and the variables that describe it."""

    def __init__(self, state_dir: Path, root: Path, *, usual_port: bool = True) -> None:
        self.state_dir = state_dir
        self.root = root
        self.path = state_dir / "airflow"
        self._secrets = Secrets(state_dir)
        self._ports = Ports(state_dir, usual=usual_port)
        self._health = _Health()

    def health(self) -> dict[str, Any]:
        """Return what the api-server says of all components."""
        return self._health.get(self.port)

    @property
    def port(self) -> int:
        """Port of the api-server."""
        return self._ports.ensure("airflow", USUAL_PORT)

    def choose_port(self) -> int:
        """Pick the port for this start."""
        return self._ports.choose("airflow", USUAL_PORT)

    def release_port(self) -> None:
        """Say that the api-server listens: nobody else can take the port now."""
        self._ports.release("airflow")

    @property
    def moved(self) -> str:
        """Say that the usual port was taken when the port was chosen."""
        return self._ports.moved("airflow")

    @property
    def url(self) -> str:
        """Address of the UI and of the REST API."""
        return f"http://{HOST}:{self.port}"

    @property
    def password(self) -> str:
        """Password of the account `admin`."""
        return self._secrets.get("airflow_admin")

    def settings(self, database: str, preset: Mapping[str, str]) -> dict[str, str]:
        """Return all variables of Airflow; `preset` are those the user had set before."""
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        fixed = {
            "AIRFLOW_HOME": str(self.path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.root / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.root / "plugins"),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": self._secrets.get_or_make("airflow_fernet", fernet),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.path / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": self._secrets.get("airflow_secret_key", 32),
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secrets.get("airflow_jwt", 64),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.path / "logs"),
            "AIRFLOW_API_URL": self.url,
            "AIRFLOW_API_USERNAME": ADMIN,
            "AIRFLOW_API_PASSWORD": self.password,
            "PYTHONPATH": str(self.root),
        }
        return {name: preset.get(name, value) for name, value in TUNABLE.items()} | fixed

    def write_password(self) -> None:
        """Give the generated password to Airflow, which would otherwise make one and print it to a log."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_private(self.path / "passwords.json", f'{{"{ADMIN}": "{self.password}"}}\n')


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Airflow's processes: ours, plus the settings."""
    env = {name: value for name, value in os.environ.items() if name not in {"AIRFLOW_CONFIG", "PYTHONHOME"}}
    # Without byte code on disk each of the many short-lived processes would compile Airflow anew.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env |= settings
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    env["PYTHONUNBUFFERED"] = "1"
    # A proxy for the outside world cannot reach our loopback addresses.
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), HOST, "localhost"]))
    return env


def schema_revision(database: str, table: str = "alembic_version") -> str | None:
    """Return the revision of a schema; None for an empty database or one psycopg cannot ask."""
    scheme, _, rest = database.partition("://")
    if not scheme.startswith("postgres"):
        return None
    try:
        with psycopg.connect(f"postgresql://{rest}", connect_timeout=5) as connection:
            row = connection.execute(
                sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(*table.split(".")))
            ).fetchone()
    except psycopg.Error:
        return None
    return str(row[0]) if row else None


def migrate(home: AirflowHome, settings: Mapping[str, str], log: Path) -> bool:
    """Bring the metadata schema to the installed version; False when it was there already."""
    marker, database = home.path / "migrated.json", settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    found = schema_revision(database)
    installed = version("apache-airflow-core")
    if found is not None and read_json(marker) == {"airflow": installed, "revision": found}:
        return False
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = process.run(command, cwd=home.root, env=child_environment(settings), log=log, timeout=300)
    if done.code != 0:
        raise PartError("metadata schema", f"`airflow db migrate` failed: {last_lines(log)}", log=log)
    write_json(marker, {"airflow": installed, "revision": schema_revision(database)})
    return True


class Component(Part):
    """A process of Airflow."""

    start_timeout: ClassVar[float] = 240.0  # four of them share two cores with whatever else runs
    health: ClassVar[str] = ""

    def __init__(self, home: AirflowHome, settings: Callable[[], Mapping[str, str]], *, report: Report = quiet) -> None:
        super().__init__(home.state_dir, report=report)
        self._home = home
        self._settings = settings

    def check(self) -> None:
        """Its heartbeat is healthy and younger than its process."""
        state = self._home.health().get(self.health) or {}
        beat = state.get(f"latest_{self.health}_heartbeat")
        # The metadata keep the heartbeat of a killed predecessor for a while.
        if state.get("status") != "healthy" or beat is None or _epoch(beat) < self._launched:
            raise NotReadyError("no heartbeat yet")

    def _directory(self) -> Path:
        # As under the Astro CLI and in the image: tasks see the repository as their working directory.
        return self._home.root

    def _environment(self) -> Mapping[str, str]:
        return child_environment(self._settings())

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", "airflow", self.name, *self._options()]

    def _options(self) -> Sequence[str]:
        return ()


class ApiServer(Component):
    """UI, REST API and execution API."""

    name: ClassVar[str] = "api-server"

    @property
    def where(self) -> str:
        """Address of the UI."""
        return self._home.url

    def _remark(self) -> str:
        return self._home.moved

    def check(self) -> None:
        """It answers, and so does its database."""
        if (self._home.health().get("metadatabase") or {}).get("status") != "healthy":
            raise NotReadyError("the metadata database is not healthy")

    def _before_check(self) -> None:
        if self.pid is not None:
            must_be_ours(self.pid, self._home.port)
        self._home.release_port()

    def _prepare(self) -> None:
        # At a restart the port is part of the addresses everybody has: it cannot move.
        deadline = time.monotonic() + 15
        while not is_free(self._home.port):
            if not process.wait_until(deadline, 0.2):
                hint = "stop that program, or `make down` and `make up` for another port"
                raise PartError(self.name, f"port {self._home.port} is taken by another program", hint=hint)
        self._home.write_password()


class Scheduler(Component):
    """Schedules runs; the LocalExecutor's workers are its children."""

    name: ClassVar[str] = "scheduler"
    patience: ClassVar[float] = 5.0  # running tasks have so long to finish
    grace: ClassVar[float] = 2.0
    health: ClassVar[str] = "scheduler"

    def _options(self) -> Sequence[str]:
        # The log server would listen on all interfaces; the api-server reads the same files.
        return ["--skip-serve-logs"]


class DagProcessor(Component):
    """Parses DAG files."""

    name: ClassVar[str] = "dag-processor"
    health: ClassVar[str] = "dag_processor"


class Triggerer(Component):
    """Runs deferred waits and HITL time-outs."""

    name: ClassVar[str] = "triggerer"
    # It waits ten seconds for its child, which does not end by itself; asked twice, both end at once.
    patience: ClassVar[float] = 1.5
    grace: ClassVar[float] = 1.5
    health: ClassVar[str] = "triggerer"

    def _options(self) -> Sequence[str]:
        return ["--skip-serve-logs"]


COMPONENTS: tuple[type[Component], ...] = (ApiServer, Scheduler, DagProcessor, Triggerer)


class _Health:
    """The api-server's word on all components, asked at most three times a second by all of them together.

    With http.client: each httpx client loads the certificates of the world first, which took more processor time
    than Airflow's own start.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = 0.0
        self._answer: dict[str, Any] | NotReadyError = {}

    def get(self, port: int) -> dict[str, Any]:
        with self._lock:
            if time.monotonic() - self._asked > 0.3:
                self._answer = self._ask(port)
                self._asked = time.monotonic()
            if isinstance(self._answer, NotReadyError):
                raise type(self._answer)(str(self._answer))
            return self._answer

    def _ask(self, port: int) -> dict[str, Any] | NotReadyError:
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        try:
            connection.request("GET", "/api/v2/monitor/health")
            answer = connection.getresponse()
            found = json.loads(answer.read())
        except TimeoutError:
            return NoAnswerError("the api-server is silent")
        except (OSError, http.client.HTTPException, ValueError) as error:
            return NotReadyError(f"{type(error).__name__}: {error}")
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK or not isinstance(found, dict):
            return NotReadyError(f"HTTP {answer.status}")
        return found


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
