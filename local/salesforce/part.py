"""The simulated Salesforce as a part of the local system: started by `make up`, restarted when killed, data kept."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

from local.errors import PartError
from local.files import read_json, write_private
from local.layout import ROOT
from local.part import NoAnswerError
from local.ports import HOST
from local.salesforce.settings import CONNECTION, SECRETS, Settings
from local.servers.base import NotReadyError, Server

# Size of the organisation at the first start, in percent of the real one.
PERCENT = "SALESFORCE_DEMO_PERCENT"
_USUAL_PERCENT = "1"
# Whether records change while time passes.
LIVE = "SALESFORCE_LIVE"
_SWITCH = {"": False, "0": False, "false": False, "1": True, "true": True}


class SalesforcePart(Server):
    """One organisation with generated records."""

    name: ClassVar[str] = "salesforce"
    usual_port: ClassVar[int] = 8026
    # A whole organisation of 100 % is made before it answers for the first time.
    start_timeout: ClassVar[float] = 300.0

    @property
    def settings(self) -> Settings:
        """Port and secrets of this state directory."""
        kept = read_json(self.state_dir / "secrets.json")
        made: dict[str, str] = {}
        for name, make in SECRETS.items():
            key = f"{self.name}.{name}"
            # Making a key pair takes a while: only when there is none.
            made[name] = str(kept[key]) if key in kept else self._secrets.get_or_make(key, make())
        return Settings.make(
            port=self.port,
            directory=str(self.directory),
            demo_percent=self._percent(),
            live=self._live(),
            **made,
        )

    @property
    def url(self) -> str:
        """Address of the organisation."""
        return self.settings.url

    @property
    def connections(self) -> dict[str, str]:
        """AIRFLOW_CONN_SALESFORCE."""
        return {CONNECTION: self.settings.connection()}

    @property
    def admin_url(self) -> str:
        """Address of the admin routes, with their key."""
        return self.settings.admin_url

    def check(self) -> None:
        """It answers over HTTP."""
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

    def _percent(self) -> float:
        text = os.environ.get(PERCENT) or _USUAL_PERCENT
        try:
            percent = float(text)
        except ValueError:
            percent = -1
        if not 0 <= percent <= 100:
            raise PartError(self.name, f"{PERCENT}={text}: a number from 0 to 100 is expected")
        return percent

    def _live(self) -> bool:
        text = os.environ.get(LIVE, "")
        if text.lower() not in _SWITCH:
            raise PartError(self.name, f"{LIVE}={text}: 1 or 0 is expected")
        return _SWITCH[text.lower()]

    def _prepare(self) -> None:
        write_private(self.directory / "settings.json", self.settings.text())

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", "local.salesforce", str(self.directory / "settings.json")]

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}
