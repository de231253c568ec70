"""Neo4j Community 5.26: its own server entry point as a plain Java process, Bolt on loopback only."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping, Sequence
from typing import ClassVar

from local import maven, process
from local.errors import PartError, last_lines
from local.files import write_private
from local.part import NoAnswerError
from local.ports import answers
from local.servers.base import NotReadyError, Server
from local.servers.jvm import ClassArchive, java

CONFIG = """\
# written at each start
server.default_listen_address={host}
server.bolt.enabled=true
server.bolt.listen_address={host}:{port}
server.bolt.advertised_address={host}:{port}
server.http.enabled=false
server.https.enabled=false
server.directories.import=import
dbms.usage_report.enabled=false
server.memory.pagecache.size=128m
db.tx_log.rotation.retention_policy=2 files
# Netty's default quiet period makes every stop last ten seconds longer.
internal.dbms.bolt.netty_server_shutdown_quiet_period=0
db.shutdown_transaction_end_timeout=5s
"""
JVM = [
    "-Xms128m",
    "-Xmx768m",
    # one small heap beside Airflow on two cores: the serial collector starts fastest and needs least
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dfile.encoding=UTF-8",
    "-Dlog4j2.disable.jmx=true",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
]


class Neo4jServer(Server):
    """A private Neo4j; neo4j/neo4j is never valid, the password is set before the first start."""

    name: ClassVar[str] = "neo4j"
    usual_port: ClassVar[int] = 7687
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    patience: ClassVar[float] = 20.0
    start_timeout: ClassVar[float] = 180.0
    _archive: ClassArchive | None = None

    @property
    def url(self) -> str:
        """Return neo4j:// with account and password."""
        return f"neo4j://neo4j:{self.password}@{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """Return neo4j:// without account, as the driver wants it."""
        return f"neo4j://{self.host}:{self.port}"

    @property
    def auth(self) -> tuple[str, str]:
        """Account and password, as the driver wants them."""
        return "neo4j", self.password

    def check(self) -> None:
        """RETURN 1 over Bolt."""
        if not answers(self.port):
            raise NotReadyError("Bolt does not listen yet")
        import neo4j
        from neo4j.exceptions import AuthError, DriverError, Neo4jError, ServiceUnavailable

        logging.getLogger("neo4j").setLevel(logging.CRITICAL)  # it is expected to fail until the server is up
        try:
            with neo4j.GraphDatabase.driver(
                self.uri,
                auth=self.auth,
                connection_timeout=3,
                connection_acquisition_timeout=3,
                max_transaction_retry_time=0,
            ) as driver:
                driver.execute_query("RETURN 1")
        except AuthError as error:
            hint = f"the data and the kept password do not fit: move {self.directory} away"
            raise PartError(self.name, "refuses the generated password", log=self.log, hint=hint) from error
        except ServiceUnavailable as error:
            # It listens, as was seen above, and does not greet us in time.
            raise NoAnswerError(str(error)) from error
        except (Neo4jError, DriverError, OSError) as error:
            raise NotReadyError(str(error)) from error
        finally:
            logging.getLogger("neo4j").setLevel(logging.NOTSET)

    def _prepare(self) -> None:
        jars = maven.ensure("neo4j", self._report)
        class_path = os.pathsep.join(map(str, jars))
        self._archive = ClassArchive(JVM, class_path)
        for part in ("conf", "import"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        write_private(self.directory / "conf" / "neo4j.conf", CONFIG.format(host=self.host, port=self.port))
        # An argument file keeps 210 paths out of the process list.
        quoted = class_path.replace("\\", "\\\\").replace('"', '\\"')
        write_private(self.directory / "java.args", f'-cp "{quoted}"\n')
        if not (self.directory / "data" / "databases").exists():
            self._set_first_password()

    def _java(self, *options: str) -> list[str]:
        return [str(java()), *JVM, *options, f"@{self.directory / 'java.args'}"]

    def _command(self) -> Sequence[str]:
        conf = self.directory / "conf"
        entry = "org.neo4j.server.CommunityEntryPoint"
        shared = self._archive.prepare() if self._archive is not None else []
        return [*self._java(*shared), entry, f"--home-dir={self.directory}", f"--config-dir={conf}", "--console-mode"]

    def _wait_ready(self) -> None:
        try:
            super()._wait_ready()
        except PartError:
            if self._archive is not None:
                self._archive.distrust()
            raise

    def stop(self) -> None:
        """Shut down cleanly; the first time the JVM also writes down its classes."""
        was_running = self.is_running
        super().stop()
        if self._archive is not None and was_running:
            # A JVM reports its end by a signal as 128 + the signal's number.
            self._archive.finished(cleanly=self.exit_code in (0, 128 + self.stop_signal))

    def _environment(self) -> Mapping[str, str]:
        ours = {"NEO4J_HOME": str(self.directory), "NEO4J_CONF": str(self.directory / "conf")}
        # JAVA_TOOL_OPTIONS of the user may be meant for another Java; NEO4J_* settings would override ours.
        dropped = ("NEO4J_", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")
        return {k: v for k, v in os.environ.items() if not k.startswith(dropped)} | ours

    def _set_first_password(self) -> None:
        (self.directory / "data" / "dbms" / "auth.ini").unlink(missing_ok=True)
        # Through a file: a password on the command line is visible to every user of the machine.
        handover = self.directory / "first-password"
        write_private(handover, self.password + "\n")
        command = [*self._java(), "org.neo4j.server.startup.Neo4jAdminCommand", "dbms", "set-initial-password"]
        try:
            done = process.run([*command, f"@{handover}"], env=self._environment(), cwd=self.directory, log=self.log)
        finally:
            handover.unlink(missing_ok=True)
        if done.code != 0:
            raise PartError(self.name, f"cannot set the first password: {last_lines(self.log)}", log=self.log)
