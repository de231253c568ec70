"""The policy test finds what it is there to find."""

import pytest

from tests.unit.dags.examples import BAD
from tests.unit.dags.policy import complaints, hashes


def test_a_good_file_has_no_complaints(seen, example_folder):
    assert complaints(seen, example_folder, "organism/good.py") == []


@pytest.mark.parametrize("name", BAD)
def test_each_rule_is_enforced(seen, example_folder, name):
    found = complaints(seen, example_folder, f"organism/{name}.py")
    assert any(BAD[name][1] in text for text in found), found


def test_a_dag_that_changes_by_itself_is_noticed(seen, seen_again, example_folder):
    first, second = hashes(seen, example_folder), hashes(seen_again, example_folder)
    assert [dag_id for dag_id in first if first[dag_id] != second[dag_id]] == ["now", "unstable"]
