"""Running totals, and the ledger as the graph returns it."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from include.organism.ledger import Ledger, Totals

TOTALS = st.builds(Totals, **{field.name: st.integers(0, 10**12) for field in fields(Totals)})


@given(one=TOTALS, other=TOTALS)
def test_totals_are_added_and_subtracted_field_by_field(one: Totals, other: Totals) -> None:
    total = one + other
    assert total - other == one
    assert all(total.as_dict()[name] == value + other.as_dict()[name] for name, value in one.as_dict().items())


@given(totals=TOTALS)
def test_totals_survive_a_manifest(totals: Totals) -> None:
    assert Totals.from_mapping(totals.as_dict() | {"something": "else"}) == totals


def test_a_new_ledger_has_no_totals_yet() -> None:
    node = {
        "key": "s|g",
        "watermark_ms": 5,
        "watermark_seq": 1,
        "epoch": 3,
        "invalidated_epoch": 0,
        "scaled_people": 0,
        "added_seen": 0,
        "read": 7,
    }
    ledger = Ledger.from_node(node)
    assert ledger.totals == Totals(read=7)
    assert (tuple(ledger.watermark), ledger.epoch, ledger.added_offset) == ((5, 1), 3, None)
