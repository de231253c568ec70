"""The bodies of ops_watchdog's tasks."""

from __future__ import annotations

from typing import Any


def watch() -> dict[str, Any]:
    """Make one round of all checks; returns counts, failed checks and open warnings."""
    from include.operations.watchdog import watch as round_

    return round_.watch()


def deliver() -> dict[str, int]:
    """End the incidents of DAG files that can be read again, and send the alerts that could not leave when raised."""
    from include.operations.alerts import check_recoveries, flush_outbox

    mended = check_recoveries()
    done = flush_outbox()
    counts = {"sent": done.sent, "refused": done.refused, "waiting": done.waiting, "taken_in": done.taken_in}
    return counts | {"mended_files": mended}


def settle_errors() -> dict[str, int]:
    """Write error rows that waited for the warehouse, and those of tries whose process was killed."""
    from include.operations import lost_tries

    return lost_tries.settle()
