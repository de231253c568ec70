"""The ledger node: what the graph knows about the stream, changed only together with the graph.

`(:StreamLedger {key})` holds the watermark, the fencing epoch with its lease, and running totals.
Every batch changes it in the batch's own transaction, so it can never disagree with the edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from include.organism.stream import StreamId


@dataclass(frozen=True, slots=True)
class Totals:
    """Running totals since the ledger was made. Of a run: the difference of two of them.

    Attributes:
        read: stream entries processed; each one was applied, skipped, a duplicate or dead.
        written: interactions added to edges (an entry with three targets counts three times).
        duplicates: entries whose event id had been applied before.
        skipped_system: interactions of source SYSTEM.
        skipped_self_loop: interactions of a person with themselves.
        skipped_left_out: interactions of somebody who has opted out, is on leave or was erased.
        dead: entries sent to the dead letters.
        lost: entries that were added to the stream and never reached us.
        edges_touched: edge rows written, one for each directed pair and transaction.
        edges_created: edges that did not exist before.
        people_created: people that did not exist before.
        batches: committed transactions.
    """

    read: int = 0
    written: int = 0
    duplicates: int = 0
    skipped_system: int = 0
    skipped_self_loop: int = 0
    skipped_left_out: int = 0
    dead: int = 0
    lost: int = 0
    edges_touched: int = 0
    edges_created: int = 0
    people_created: int = 0
    batches: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Totals) -> Totals:
        return Totals(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def as_dict(self) -> dict[str, int]:
        """Field name to value."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` gave; unknown keys are ignored, missing ones are zero."""
        return cls(**{f.name: int(values.get(f.name) or 0) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class Ledger:
    """A look at the ledger node.

    Attributes:
        watermark: every entry up to this id is in the graph, skipped, a duplicate or dead.
        epoch: fencing number; it grows with each lease, and a writer with an old one writes nothing.
        invalidated_epoch: caches of everything touched up to this epoch are invalid already.
        scaled_people: number of people that every `degree_centrality` was last computed with.
        added_seen: `entries-added` when the stream was last accounted for.
        added_offset: `entries-added` that are not ours to process (before us, or written off).
        totals: running totals.
    """

    watermark: StreamId
    epoch: int
    invalidated_epoch: int
    scaled_people: int
    added_seen: int
    added_offset: int | None
    totals: Totals

    @classmethod
    def from_node(cls, node: Mapping[str, Any]) -> Self:
        """Read the node's properties."""
        return cls(
            watermark=StreamId(node["watermark_ms"], node["watermark_seq"]),
            epoch=node["epoch"],
            invalidated_epoch=node["invalidated_epoch"],
            scaled_people=node["scaled_people"],
            added_seen=node["added_seen"],
            added_offset=node.get("added_offset"),
            totals=Totals.from_mapping(node),
        )
