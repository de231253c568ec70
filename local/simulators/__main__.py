"""`python -m local.simulators SETTINGS`: serve until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from local.simulators.server import Simulators
from local.simulators.settings import Settings


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    simulators = Simulators(settings)
    await simulators.start()
    await ended.wait()
    await simulators.stop()


if __name__ == "__main__":
    asyncio.run(serve(Settings.load(Path(sys.argv[1]))))
