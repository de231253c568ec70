"""What the simulators of outside services share as parts of the local system."""

from __future__ import annotations

import http.client
import json
import os
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from local.files import write_private
from local.layout import ROOT
from local.part import NoAnswerError
from local.ports import HOST
from local.servers.base import NotReadyError, Server
from local.settings_file import SettingsFile


class SimulatorServer(Server):
    """One process, `python -m PACKAGE SETTINGS`, that answers at /health."""

    package: ClassVar[str]

    @property
    @abstractmethod
    def settings(self) -> SettingsFile:
        """Ports and secrets of this state directory."""

    def check(self) -> None:
        """It answers over HTTP; its other ports are open by then."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            if json.loads(connection.getresponse().read()) != {"status": "ok"}:
                raise NotReadyError("another program answers")
        except TimeoutError as error:
            raise NoAnswerError("silent") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotReadyError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def _prepare(self) -> None:
        write_private(self.directory / "settings.json", self.settings.text())

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", self.package, str(self.directory / "settings.json")]

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}
