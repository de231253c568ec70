"""The DAG files of the repository keep the policy."""

import pytest

from include.vms.registry import objects
from tests.unit.dags.policy import FOLDER, complaints, hashes

FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.py"))
# The contract of the design: which file makes which DAGs.
EXPECTED = {
    "operations/watchdog.py": ["ops_watchdog"],
    "organism/full_analysis.py": ["organism_full_analysis"],
    "organism/incremental_update.py": ["organism_incremental_update"],
    "organism/load_assessments.py": ["organism_load_assessments"],
    "organism/load_roster.py": ["organism_load_roster"],
    "organism/intervention_review.py": ["organism_intervention_review"],
    "organism/intervention_outcomes.py": ["organism_intervention_outcomes"],
    "operations/housekeeping.py": ["ops_housekeeping"],
    "operations/statistics.py": ["ops_statistics"],
    "vms/full_sync.py": ["vms_full_sync"],
    "vms/sync.py": [f"vms_sync_{name}" for name in objects()],
}


@pytest.mark.parametrize("name", FILES)
def test_policy(seen, name):
    assert complaints(seen, FOLDER, name) == []


@pytest.mark.parametrize(("name", "dag_ids"), EXPECTED.items())
def test_contract(seen, name, dag_ids):
    if name not in FILES:
        pytest.skip("not written yet")
    # Airflow keeps the DAGs of a file in a set.
    assert sorted(dag["dag_id"] for dag in seen["files"][str(FOLDER / name)]["dags"]) == sorted(dag_ids)


def test_every_file_is_in_the_contract():
    assert set(FILES) <= set(EXPECTED), "add the new file and its DAG ids to EXPECTED"


def test_two_parses_make_one_version(seen, seen_again):
    """Airflow makes a new DAG version whenever the serialised form changes, so it must not change by itself."""
    assert hashes(seen, FOLDER) == hashes(seen_again, FOLDER)


def test_heavy_modules_are_not_already_loaded(seen):
    """Else the check for heavy imports would be blind to them."""
    assert not {"redis", "neo4j", "psycopg", "pandas", "numpy", "networkx"} & set(seen["baseline"])
