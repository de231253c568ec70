"""The whole system: embedded servers, schema, Airflow, in the right order and as parallel as possible."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import secrets
import sys
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from local import declared, envfile, presets, process, reach
from local.airflow import (
    ADMIN,
    COMPONENTS,
    AirflowHome,
    ApiServer,
    Component,
    Scheduler,
    child_environment,
    migrate,
    schema_revision,
)
from local.errors import PartError, last_lines
from local.files import Secrets, read_json, write_json
from local.layout import PARTS, ROOT, STATE_DIR
from local.part import CancelledError, Part
from local.presets import Presets
from local.progress import Event, Report, State, quiet
from local.salesforce.part import SalesforcePart
from local.salesforce.settings import ADMIN as SALESFORCE_ADMIN
from local.servers import Neo4jServer, PostgresServer, RedisServer, Server
from local.servers.postgres import READER, SCRATCH, UPKEEP, binaries
from local.simulators.part import AlertSinkServer
from local.simulators.settings import ACTIONS, INBOX


class LocalSystem:
    """Embedded servers and Airflow below one state directory, as children of this process.

    `parts` chooses what is started. A server the user has named by a connection variable is not started.
    """

    def __init__(
        self,
        state_dir: Path = STATE_DIR,
        *,
        root: Path = ROOT,
        parts: Collection[str] = PARTS,
        usual_ports: bool = True,
        environ: Mapping[str, str] | None = None,
        report: Report = quiet,
    ) -> None:
        self.state_dir = state_dir.resolve()
        self.root = root
        self._report = report
        self._presets = Presets(self.state_dir, environ)
        self.external = {name: why for name in parts if name != "airflow" and (why := self._presets.replaces(name))}
        self.yours = {
            name: variable
            for name, variable in self._presets.servers.items()
            if (name in parts if name in PARTS else "postgres" in parts)
        }
        self._postgres = PostgresServer(self.state_dir, usual_port=usual_ports, report=report)
        self._redis = RedisServer(self.state_dir, usual_port=usual_ports, report=report)
        self._neo4j = Neo4jServer(self.state_dir, usual_port=usual_ports, report=report)
        self._alerts = AlertSinkServer(self.state_dir, usual_port=usual_ports, report=report)
        self._salesforce = SalesforcePart(self.state_dir, usual_port=usual_ports, report=report)
        own: list[Server] = [self._postgres, self._redis, self._neo4j, self._alerts, self._salesforce]
        self.servers = [server for server in own if server.name in parts and server.name not in self.external]
        self.home = AirflowHome(self.state_dir, root, usual_port=usual_ports)
        self.components: list[Component] = (
            [kind(self.home, self.variables, report=report) for kind in COMPONENTS] if "airflow" in parts else []
        )
        self._launched: dict[str, str] = {}

    @property
    def parts(self) -> list[Part]:
        """All processes, in the order in which they start; they stop in the opposite order."""
        return [*self.servers, *self.components]

    @property
    def env_file(self) -> Path:
        """The file other programs source."""
        return self.state_dir / "env"

    # --- variables -------------------------------------------------------------------------------
    def variables(self) -> dict[str, str]:
        """Return every variable a program needs to attach to this system."""
        given = self._presets.connections
        conns = {
            presets.REDIS: given.get(presets.REDIS) or self._redis.url,
            presets.NEO4J: given.get(presets.NEO4J) or self._neo4j.url,
            presets.WAREHOUSE: given.get(presets.WAREHOUSE) or _scheme("postgres", self._postgres.url),
        }
        if self._alerts in self.servers:
            # Without the part there is nobody to receive: no connection then, and alerts say so.
            conns |= {**self._alerts.connections, **given, INBOX: self._alerts.url}
        if self._salesforce in self.servers:
            conns |= {**self._salesforce.connections, **given, SALESFORCE_ADMIN: self._salesforce.admin_url}
        if not self._presets.replaces("postgres"):
            conns[presets.SCRATCH] = given.get(presets.SCRATCH) or _scheme(
                "postgres", self._postgres.url_of("postgres", SCRATCH)
            )
        metadata = self._presets.get(presets.METADATA)
        if metadata is None:
            # Of a metadata database that the user brings along, only the user can make these roles.
            for name, role in ((presets.READER, READER), (presets.UPKEEP, UPKEEP)):
                conns[name] = given.get(name) or _scheme("postgres", self._postgres.url_of("airflow", role))
        settings = self.home.settings(
            metadata or _scheme("postgresql+psycopg2", self._postgres.url_of("airflow")), self._presets.settings
        )
        variables = settings | self._others() | given | conns
        marks = {presets.MARK: str(self.state_dir), presets.GIVEN: self._presets.given_in(variables)}
        return variables | marks

    def _others(self) -> dict[str, str]:
        """Where backups lie, which programs make them, and what may be tidied up; the user's own settings win."""
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        return {
            "BACKUP_KEY": Secrets(self.state_dir).get_or_make("backup_key", key),
            "BACKUP_DIR": str(self.state_dir / "backups"),
            "BACKUP_PG_BIN": str(binaries()),
            "UPKEEP_STATE_DIRS": str(self.state_dir / "demo"),
            **self._interventions(),
        } | self._presets.others

    def _interventions(self) -> dict[str, str]:
        """Where people and calendars are ours, what is approved is done, and a team fits into a week's share."""
        theirs = any(self._presets.get(name) for name in (presets.NEO4J, presets.WAREHOUSE, ACTIONS))
        tried = {"INTERVENTION_MODE": "review", "INTERVENTION_WEEKLY_SHARE": "0.25"}
        return {"INTERVENTION_APPROVERS": ADMIN} | ({} if theirs else tried)

    # --- start and stop --------------------------------------------------------------------------
    def start(self) -> None:
        """Start everything and wait until it is healthy. The first failure is raised; call stop() then."""
        if self.components:
            self.home.choose_port()
        for name in self.external.keys() - {"postgres", *self.yours}:
            self._report(Event(name, "ready", f"yours: {self.external[name]} is set"))
        with ThreadPoolExecutor(12, thread_name_prefix="start") as pool:
            unreached = pool.submit(self._look_at_yours)
            started = {server.name: pool.submit(server.start) for server in self.servers}
            work: list[Future[Any]] = [unreached, *started.values()]
            if self.components:
                work.append(pool.submit(self._prepare_databases, started.get("postgres"), unreached, pool))
            self._first_failure(work)
            if self.components and self.variables() != self._launched:
                # A server had to move to another port while Airflow was starting already.
                for component in self.components:
                    component.restart()
        envfile.write(self.env_file, self.variables())

    def _look_at_yours(self) -> dict[str, str]:
        """Tell which of the user's own servers are used, and return what is wrong with those out of reach.

        It is told and no failure: a server may come back, and what uses it is repeated.
        """
        found = reach.troubles(self.variables(), self.yours)
        for name, variable in self.yours.items():
            state: State = "warning" if name in found else "ready"
            self._report(Event(name, state, " | ".join(filter(None, [f"yours: {variable} is set", found.get(name)]))))
        return found

    def _prepare_databases(
        self, postgres: Future[None] | None, unreached: Future[dict[str, str]], pool: ThreadPoolExecutor
    ) -> None:
        if postgres is not None:
            postgres.result()
        if "metadata" in unreached.result():
            hint = f"start it, or unset {presets.METADATA} for the embedded one"
            raise PartError("metadata", f"{unreached.result()['metadata']}; without it Airflow cannot start", hint=hint)
        # The components start while the others are still on their way, so write what they need now.
        self._launched = self.variables()
        envfile.write(self.env_file, self._launched)
        warehouse = pool.submit(self._step, "warehouse schema", lambda: self._upgrade_warehouse(unreached.result()))
        metadata = pool.submit(self._step, "metadata schema", self._migrate)
        settings = pool.submit(self._step, "settings", self._examine)
        settings.result()
        metadata.result()
        work = [pool.submit(c.start) for c in self.components if not isinstance(c, ApiServer | Scheduler)]
        work += [pool.submit(self._start_api, c) for c in self.components if isinstance(c, ApiServer)]
        # No task may meet an old warehouse schema: only the scheduler waits for it.
        warehouse.result()
        work += [pool.submit(c.start) for c in self.components if isinstance(c, Scheduler)]
        self._first_failure(work)

    def _first_failure(self, work: Collection[Future[Any]]) -> None:
        done, _ = wait(work, return_when=FIRST_EXCEPTION)
        failed = [error for future in done if (error := future.exception()) is not None]
        if failed:
            self.cancel()
            wait(work)
            # A cancelled part is the consequence, not the reason.
            raise next((error for error in failed if not isinstance(error, CancelledError)), failed[0])

    def _step(self, name: str, work: Callable[[], str]) -> None:
        begun = time.monotonic()
        self._report(Event(name, "start"))
        detail = work()
        self._report(Event(name, "ready", detail, time.monotonic() - begun))

    def _start_api(self, server: ApiServer) -> None:
        server.start()
        login = self.home.url, ADMIN, self.home.password
        self._step(declared.PART, lambda: declared.apply(self.root, *login))
        # Here people try things out; elsewhere a person switches actions on.
        declared.ensure_variable(*login, "interventions_enabled", "true")

    def _migrate(self) -> str:
        changed = migrate(self.home, self.variables(), self.state_dir / "logs" / "migrate.log")
        if self._presets.get(presets.METADATA) is None:
            self._postgres.ensure_metadata_reader()
            self._postgres.ensure_metadata_upkeep()
        return "airflow db migrate" if changed else "up to date"

    def _examine(self) -> str:
        """Refuse to start with settings or secrets that must not be: the user may have brought some along."""
        if importlib.util.find_spec("include.cli") is None:
            return "no doctor in this repository"
        command = [sys.executable, "-m", "include.cli", "doctor", "--start"]
        log = self.state_dir / "logs" / "settings.log"
        done = process.run(command, cwd=self.root, env=child_environment(self.variables()), log=log, timeout=120)
        if done.code != 0:
            lines = done.text.splitlines()
            failed = [" ".join(lines[n : n + 2]) for n, line in enumerate(lines) if line.startswith("fail ")]
            raise PartError("settings", " / ".join(failed) or last_lines(log), log=log)
        return "as they must be"

    def _upgrade_warehouse(self, unreached: Collection[str]) -> str:
        if "warehouse" in unreached:
            return "left out: `python -m include.cli warehouse upgrade` when the warehouse can be reached"
        if importlib.util.find_spec("include.cli") is None:
            return "no migrations in this repository"
        log = self.state_dir / "logs" / "warehouse.log"
        variables = self.variables()
        marker, database = self.state_dir / "warehouse.json", variables[presets.WAREHOUSE]
        found = schema_revision(database, "ops.alembic_version")
        files = self._migrations()
        if found is not None and read_json(marker) == {"files": files, "revision": found}:
            return "up to date"
        command = [sys.executable, "-m", "include.cli", "warehouse", "upgrade"]
        done = process.run(command, cwd=self.root, env=child_environment(variables), log=log, timeout=300)
        if done.code != 0:
            raise PartError("warehouse schema", f"`warehouse upgrade` failed: {last_lines(log)}", log=log)
        write_json(marker, {"files": files, "revision": schema_revision(database, "ops.alembic_version")})
        return "warehouse upgrade"

    def _migrations(self) -> str:
        """Return a fingerprint of the migrations: asking Alembic whether there is something to do takes seconds."""
        digest = hashlib.sha256()
        for path in sorted((self.root / "include" / "warehouse").rglob("*.py")):
            digest.update(f"{path.relative_to(self.root)}\0".encode() + path.read_bytes())
        return digest.hexdigest()

    def cancel(self) -> None:
        """Let a start in progress fail soon."""
        for part in self.parts:
            part.cancelled.set()
        process.end_helpers()

    def stop(self) -> None:
        """Stop Airflow first, then the servers it uses; each cleanly, SIGKILL after its grace time."""
        self.cancel()
        # The scheduler's tasks still report to the api-server while they end.
        schedulers = [c for c in self.components if isinstance(c, Scheduler)]
        others = [c for c in self.components if not isinstance(c, Scheduler)]
        for layer in (schedulers, others, self.servers[::-1]):
            with ThreadPoolExecutor(8, thread_name_prefix="stop") as pool:
                for _ in pool.map(self._stop_part, layer):
                    pass

    def _stop_part(self, part: Part) -> None:
        if part.is_running:
            begun = time.monotonic()
            part.stop()
            self._report(Event(part.name, "stopped", "", time.monotonic() - begun))
        else:
            part.stop()


def _scheme(scheme: str, url: str) -> str:
    return f"{scheme}://{url.partition('://')[2]}"
