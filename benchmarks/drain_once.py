"""One run over whatever waits, in a process of its own; prints peak MB, seconds and entries read."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import neo4j
import redis

from include.organism import update
from include.organism.settings import Settings


def main(redis_url: str, graph_url: str, password: str) -> None:
    """Run the four steps once."""
    logging.disable(logging.CRITICAL)
    settings = Settings()
    with (
        redis.Redis.from_url(redis_url, protocol=2) as client,
        neo4j.GraphDatabase.driver(graph_url, auth=("neo4j", password)) as driver,
    ):
        clients = update.Clients(client, driver)
        start = time.perf_counter()
        manifest = update.fetch_interactions(clients, settings, "memory")
        result = update.update_graph(clients, settings, manifest)
        update.acknowledge(clients, settings, result)
        update.invalidate_cache(clients, settings, manifest)
    # Not ru_maxrss: that one begins at the size of the process that started us.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(peak, time.perf_counter() - start, result["read"])


if __name__ == "__main__":
    main(*sys.argv[1:4])
