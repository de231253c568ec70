"""The simulated Salesforce as a part of the local system: started by `make up`, restarted when killed, data kept."""

from __future__ import annotations

import os
from typing import ClassVar

from local.errors import PartError
from local.files import read_json
from local.salesforce.settings import CONNECTION, SECRETS, Settings
from local.simulated import SimulatorServer

# Size of the organisation at the first start, in percent of the real one.
PERCENT = "SALESFORCE_DEMO_PERCENT"
_USUAL_PERCENT = "1"
# Whether records change while time passes.
LIVE = "SALESFORCE_LIVE"
_SWITCH = {"": False, "0": False, "false": False, "1": True, "true": True}


class SalesforcePart(SimulatorServer):
    """One organisation with generated records."""

    name: ClassVar[str] = "salesforce"
    package: ClassVar[str] = "local.salesforce"
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
