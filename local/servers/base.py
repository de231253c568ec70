"""What the embedded servers add to a part: a directory, a port, a password, an address."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from local.errors import PartError
from local.files import Secrets
from local.part import NotReadyError, Part, PortTakenError
from local.ports import HOST, Ports, is_free, must_be_ours
from local.progress import Report, quiet

__all__ = ["NotReadyError", "Server"]


class Server(Part):
    """A part that listens on a loopback port."""

    usual_port: ClassVar[int]

    def __init__(self, state_dir: Path, *, usual_port: bool = True, report: Report = quiet) -> None:
        super().__init__(state_dir, report=report)
        self.directory = state_dir / self.name
        self._secrets = Secrets(state_dir)
        self._ports = Ports(state_dir, usual=usual_port)

    @property
    def host(self) -> str:
        """Loopback, always."""
        return HOST

    @property
    def port(self) -> int:
        """The port it listens on (chosen at the first start)."""
        return self._ports.ensure(self.name, self.usual_port)

    @property
    def password(self) -> str:
        """The generated password of the account in `url`."""
        return self._secrets.get(self.name)

    @property
    @abstractmethod
    def url(self) -> str:
        """Address with account and password."""

    @property
    def where(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def _directory(self) -> Path:
        return self.directory

    def _remark(self) -> str:
        return self._ports.moved(self.name)

    def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for attempts_left in (2, 1, 0):
            port = self._ports.choose(self.name, self.usual_port)
            self._prepare()
            self._launch()
            # Another program can take the port between our choice and the server's bind: choose again then.
            try:
                self._wait_ready()
            except PortTakenError:
                self.kill()
                if not attempts_left:
                    raise
            except PartError:
                if self.is_running or self._has_ports(port) or not attempts_left:
                    raise
            else:
                return
            finally:
                self._ports.release(self.name)

    def _has_ports(self, port: int) -> bool:
        """Tell whether its ports are free, so that something else has ended it."""
        return is_free(port)

    def _before_check(self) -> None:
        if self.pid is not None:
            must_be_ours(self.pid, self.port)
