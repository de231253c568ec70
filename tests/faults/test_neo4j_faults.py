"""N1-N5: Neo4j goes away, deadlocks, loses replies, refuses data."""

from __future__ import annotations

import pytest

from tests.faults.fixtures import Rig
from tests.faults.world import events

pytestmark = pytest.mark.servers

COMMIT = b"\x00\x02\xb0\x12\x00\x00"  # the Bolt message


def test_the_reply_to_any_commit_is_lost(rig: Rig) -> None:
    """N4: nobody knows whether it was committed; the ledger tells, within the same try."""
    nth = 0
    while rig.neo4j.cuts == nth:
        nth += 1
        rig.world.publish(events(120, start=nth * 1_000))
        rig.neo4j.cut_reply(COMMIT, nth)
        rig.run()
        rig.world.check()
    assert nth > 7  # lease, healing, lease, three batches, end of run, mark, release
