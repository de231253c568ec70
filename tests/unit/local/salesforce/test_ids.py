"""Ids: the three letters at the end are those of the sample ids in Salesforce's own documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.salesforce import ids


@pytest.mark.parametrize("sample", ["a00D0000008pQRAIA2", "750Tn000004ZoR3IAK", "005R0000000UyrWIAS"])
def test_samples(sample: str) -> None:
    assert ids.suffix(sample[:15]) == sample[15:]
    assert ids.is_valid(sample)
    assert ids.to_18(sample[:15]) == sample
    wrong = sample[:-1] + ("A" if sample[-1] != "A" else "B")
    assert not ids.is_valid(wrong)


@given(number=st.integers(0, ids.MOST - 1), other=st.integers(0, ids.MOST - 1))
def test_every_number_has_one_id(number: int, other: int) -> None:
    made = ids.make_id("003", number)
    assert len(made) == 18
    assert ids.is_valid(made)
    assert ids.is_ours(made)
    assert ids.number_of(made) == number
    assert (ids.make_id("003", other) == made) is (other == number)
    # SQL and Python sort them as they were made.
    assert (ids.make_id("003", other) < made) is (other < number)


@pytest.mark.parametrize(
    "text", ["", "003", "003-00000000001", "0035e000000000", "0035e0000000000aaa", "0035e0000000000\n"]
)
def test_others_are_none(text: str) -> None:
    assert not ids.is_valid(text)
    with pytest.raises(ValueError, match="not a Salesforce id"):
        ids.to_18(text)


def test_numbers_end_somewhere() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ids.make_id("003", ids.MOST)
