"""Model test: whatever happens to an organisation while it is synced, the tables end up saying what Salesforce says.

Hypothesis draws what people do, how time passes, which syncs run, how Salesforce misbehaves and where a process is
killed. The model is `mapping`: the rules in plain Python, told from the simulator's records alone.

`VMS_MODEL=100x80` draws 100 histories of 80 steps; with `VMS_MODEL_MUTANT=lookback` on an engine with one defect
(`mutants`), which must fail.
"""

import os
import sys
from collections import Counter

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from include.operations.errors import PipelineError
from include.vms import registry
from include.vms.contracts import Mode
from tests.integration.vms.mutants import MUTANTS
from tests.integration.vms.organisation import FAULTS, NAMED, TROUBLES, Organisation

pytestmark = pytest.mark.servers

HISTORIES, STEPS = map(int, os.environ.get("VMS_MODEL", "5x60").split("x"))

sobjects = st.sampled_from(tuple(NAMED))
# Names one of those that are there, the newest first.
picks = st.integers(0, 30)
account_types = st.sampled_from(["School", "School District", "Business", None, "Household"])
contact_types = st.sampled_from(["Volunteer", None, "Student", "Teacher"])
names = st.sampled_from(["Lincoln High", "O'BRIEN", "MCDONALD, Inc.", "{{ x }}", "'; DROP TABLE vms.person; --", "Ünï"])
# Seconds until a change is visible, and whether getDeleted tells that something is on its way. Without that the
# look-back must do.
lateness = st.sampled_from([{}, {}, {"late_by": 600, "told": False}, {"late_by": 7200}])
objects = st.sampled_from(tuple(registry.objects()))
modes = st.sampled_from([*[Mode.INCREMENTAL] * 3, Mode.FULL])


def step(name, /, **given):
    """One method of `Organisation` with its arguments."""
    return st.tuples(st.just(name), st.fixed_dictionaries(given))


PEOPLE = st.one_of(
    step("found", kind=account_types, name=names, parent=picks),
    step("hire", kind=contact_types, name=names, account=picks, primary=picks, late=lateness),
    step("tie", person=picks, account=picks, late=lateness),
    step("teach", school=picks, name=names),
    step("rename", which=picks, sobject=sobjects, name=names, late=lateness),
    step("account_becomes", which=picks, kind=account_types),
    step("contact_becomes", which=picks, kind=contact_types),
    step("formula_changes_without_a_stamp", which=picks, sessions=st.integers(0, 9)),
    step("delete", which=picks, sobject=sobjects, late=lateness),
    step("undelete", which=picks, sobject=sobjects),
    step("purge", which=picks, sobject=sobjects, logged=st.booleans()),
    step("merge", sobject=st.sampled_from(["Account", "Contact"]), which=picks, losers=st.integers(1, 2)),
    step("add_a_field"),
    step("remove_a_field"),
    step("time_passes", seconds=st.sampled_from([1, 30, 600, 7200, 9 * 86400])),
)
SYNCS = st.one_of(
    step("syncs", name=objects, mode=modes),
    step("syncs", name=objects, mode=modes),
    step("a_sync_goes_past_a_change", name=objects, which=picks, called=names),
    step("people_work_while_a_sync_reads", name=objects, which=picks, called=names, after=picks, gone=st.booleans()),
    step("a_replica_lags", name=objects),
    *[
        step(
            "salesforce_fails_a_sync",
            name=objects,
            mode=modes,
            kind=st.sampled_from(TROUBLES),
            after=st.integers(0, 6),
            times=st.integers(1, 12),
        )
    ]
    * 2,
    step("killed_in_a_sync", name=objects, mode=modes, point=st.sampled_from(FAULTS), again=st.booleans()),
)
# The shortest history, which Hypothesis draws first, has no step.
histories = st.just([]) | st.lists(st.one_of(PEOPLE, PEOPLE, PEOPLE, SYNCS), min_size=STEPS, max_size=STEPS)

SCHOOLS = ("syncs", {"name": "schools", "mode": Mode.INCREMENTAL})
# The eldest record of Account is a school.
ELDEST = {"which": -1, "sobject": "Account"}
# A history in which each mutant goes wrong.
SHORT = {
    "tombstones": [SCHOOLS, ("delete", ELDEST | {"late": {}})],
    "lookback": [("a_sync_goes_past_a_change", {"name": "schools", "which": -1, "called": "Lincoln"})],
    "clock": [SCHOOLS, ("rename", ELDEST | {"name": "Lincoln", "late": {}})],
    "guard": [("a_replica_lags", {"name": "schools"})],
    "repointing": [
        *[("syncs", {"name": name, "mode": Mode.INCREMENTAL}) for name in ("volunteers", "affiliations")],
        ("merge", {"sobject": "Contact", "which": 0, "losers": 1}),
    ],
    "undelete": [
        SCHOOLS,
        ("delete", ELDEST | {"late": {}}),
        SCHOOLS,
        ("undelete", {"which": 0, "sobject": "Account"}),
    ],
}
ALL = [
    *[one for steps in SHORT.values() for one in steps],
    ("add_a_field", {}),
    ("people_work_while_a_sync_reads", {"name": "schools", "which": -1, "called": "Hoover", "after": 2, "gone": False}),
    (
        "salesforce_fails_a_sync",
        {"name": "volunteers", "mode": Mode.FULL, "kind": "unavailable", "after": 2, "times": 12},
    ),
    ("killed_in_a_sync", {"name": "volunteers", "mode": Mode.FULL, "point": "extract.after_page", "again": True}),
]


@pytest.fixture
def begin(salesforce, postgres_server, warehouse):
    """Make an organisation whose objects were all synced when there was nothing yet.

    A field that is there at an object's first sync is none that was added.
    """
    seen = Counter()
    first = Organisation(salesforce, warehouse, seen, people=False)
    for name in registry.objects():
        first.syncs(name, Mode.INCREMENTAL)
    first.pool.close()
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS vms_begun")
        admin.execute("ALTER DATABASE vms_test RENAME TO vms_begun")

    def organisation():
        postgres_server.create_database("vms_test", template="vms_begun")
        return Organisation(salesforce, warehouse, seen)

    yield organisation
    sys.stderr.write(f"{dict(seen)}\n")


def test_tables_equal_the_source_after_any_history(begin, monkeypatch):
    """Without shrinking, which would take many minutes: the steps that Hypothesis prints can be cut by hand."""
    if mutant := os.environ.get("VMS_MODEL_MUTANT"):
        MUTANTS[mutant](monkeypatch)

    @settings(
        max_examples=HISTORIES,
        # What is not given explicitly is drawn. The same each time, unless there is time for more.
        phases=[Phase.explicit, Phase.generate] if not mutant else [Phase.generate],
        derandomize="VMS_MODEL" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(steps=histories)
    @example(steps=ALL)
    def live(steps):
        begin().live(steps)

    live()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_an_engine_with_a_defect_is_noticed(begin, monkeypatch, mutant):
    """ALL is what the first test has shown to pass on the engine as it is."""
    MUTANTS[mutant](monkeypatch)
    with pytest.raises((AssertionError, PipelineError)):
        begin().live(SHORT[mutant])
