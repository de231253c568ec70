"""`python -m local.salesforce SETTINGS`: serve until SIGTERM. Prints its port when it answers."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from local.salesforce.server import SalesforceSimulator
from local.salesforce.settings import Settings


async def _serve(settings: Settings) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    simulator = SalesforceSimulator(settings)
    await simulator.start()
    print(simulator.settings.port, flush=True)
    await ended.wait()
    await simulator.stop()


def main() -> None:
    """Read the settings and serve."""
    asyncio.run(_serve(Settings.load(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
