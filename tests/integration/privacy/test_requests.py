"""Export, erasure and opting out on the command line, with everything there is to know about a person."""

import base64
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from include.organism import tasks_roster
from include.organism.metric_store import store, teams, writer
from include.organism.privacy import choices
from include.organism.privacy.pseudonym import Pseudonyms
from tests.faults.world import event
from tests.integration.metric_store.measured import FACTS, people

pytestmark = pytest.mark.servers

AT = (datetime.now(UTC) - timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)


def measure(warehouse, count=20, **columns):
    epoch = writer.begin(warehouse, AT, "run")
    writer.write(warehouse, writer.MetricRun(AT, epoch, 1, FACTS), people(count, **columns))
    store.store(warehouse, AT)


@pytest.fixture
def known(warehouse, pipeline):
    """p3 is in the graph, in caches, in dead letters and in every table."""
    pipeline.publish(event(1, "p3", "p4"), event(2, "p5", "p3"), event(3, "p4", "p5"))
    pipeline.publish({"id": "bad", "source": "p9", "target": '["p3", "p4"]', "type": "x", "timestamp": "never"})
    pipeline.publish({"id": "other", "source": "p9", "target": "p33", "type": "x", "timestamp": "never"})
    pipeline.run()
    pipeline.clients.redis.set("metrics:employee:p3", json.dumps({"strength": 1}))
    measure(warehouse)
    choices.opt_out(warehouse, "p3", out=False)
    warehouse.execute(
        "insert into organism.burnout_assessment (employee_id, instrument, assessed_on, score, consent, run_id)"
        " values ('p3', 'CBI', current_date, 50, true, 'r')"
    )
    warehouse.commit()
    return pipeline


def rows(warehouse, query, *values):
    found = warehouse.execute(query, values or None).fetchall()
    warehouse.commit()
    return found


def everything(warehouse):
    """Every row of every table of the organism, as text."""
    tables = rows(warehouse, "select tablename from pg_tables where schemaname = 'organism'")
    return "\n".join(
        text for (table,) in tables for (text,) in rows(warehouse, f'select t::text from organism."{table}" t')
    )


def mentions(warehouse, person):
    return (
        everything(warehouse)
        .replace(")", ",")
        .replace("(", ",")
        .replace("}", ",")
        .replace("{", ",")
        .count(f",{person},")
    )


def test_an_export_holds_what_is_stored_and_names_nobody_else(cli, known, warehouse, tmp_path):
    file = tmp_path / "export.json"
    assert cli("privacy", "export", "p3", "--output", file).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = json.loads(file.read_text())
    assert found["node"]["properties"]["strength"] == 2.0
    assert [(tie["direction"], tie["count"]) for tie in found["ties"]] == [("sent", 1), ("received", 1)]
    sizes = {table: len(rows) for table, rows in found["tables"].items() if rows}
    assert sizes == {
        "burnout_assessment": 1,
        "employee_metrics": 1,
        "employee_metrics_daily": 1,
        "employee_metrics_hourly": 1,
        "privacy_choice": 1,
    }
    assert (found["cached"], found["dead_letters"]) == ({"strength": 1}, 1)
    assert found["published_groups"] > 0
    assert not any(f'"p{other}"' in file.read_text() for other in (1, 4, 5, 9))
    [(kind, counts, by)] = rows(warehouse, "select kind, counts, requested_by from organism.privacy_request")
    assert (kind, counts["ties"], bool(by)) == ("export", 2, True)
    # A file that is there is not overwritten.
    assert cli("privacy", "export", "p3", "--output", file).code == 1


def test_an_export_of_nobody_is_an_error_that_does_not_say_who(cli, known):
    done = cli("privacy", "export", "-", stdin="Ann Lee\n")
    assert done.code == 1
    assert "nothing is stored" in done.err
    assert "Ann" not in done.err + done.out


def test_an_erased_person_is_nowhere_and_stays_away(cli, known, warehouse):
    assert mentions(warehouse, "p3") > 5
    done = cli("privacy", "erase", "-", "--yes", stdin="p3\n")
    assert done.code == 0, done.err
    assert "p3" not in done.out + done.err
    assert mentions(warehouse, "p3") == 0
    assert known.node("p3") is None
    assert known.node("p4")["degree"] == 1
    assert known.node("p4")["degree_centrality"] == 1.0
    assert not known.clients.redis.exists("metrics:employee:p3")
    left = known.clients.redis.xrange(known.settings.dead_stream)
    assert [fields[b"id"] for _, fields in left] == [b"other"]
    [(kind, counts, completed)] = rows(
        warehouse, "select kind, counts, completed_at is not null from organism.privacy_request"
    )
    assert (kind, completed) == ("erase", True)
    assert counts["people"] == counts["employee_metrics"] == counts["dead_letters"] == 1
    # Nothing brings them back: not the stream, not a roster, not a measurement that was read before.
    known.publish(event(7, "p3", "p4"))
    assert known.run()["skipped"]["left_out"] == 1
    params = {"path": None, "inline": [{"id": "p3"}, {"id": "p4"}], "format": "auto", "dry_run": False}
    loaded = tasks_roster.load_roster("load", params)
    assert loaded["refused_by_code"] == {"erased": 1}
    measure(warehouse)
    assert mentions(warehouse, "p3") == 0
    assert known.node("p3") is None


def test_groups_that_were_published_with_an_erased_person_stay_protected(cli, known, warehouse):
    assert cli("privacy", "erase", "p3", "--yes").code == 0
    # The measurement is published again without the person: no group may be an old one minus one.
    measure(warehouse)
    assert rows(warehouse, "select count(n) > 0 from organism.team_metrics where metric = 'strength'") == [(True,)]
    cohorts = rows(warehouse, "select members, digest from organism.team_cohort where family = 'network'")
    assert any(member.startswith("erased-") for members, _ in cohorts for member in members)
    assert all(digest == teams.cohort_digest(members) for members, digest in cohorts)
    assert not [
        (one, other)
        for (one, _), (other, _) in itertools.combinations(cohorts, 2)
        if 0 < len(set(one) ^ set(other)) < 5
    ]


_PROGRAM = "import sys; from include.cli.__main__ import main; main()"


@pytest.mark.parametrize("point", ["erase.begun", "erase.graph_done", "erase.in_transaction", "erase.before_proof"])
def test_an_erasure_that_is_killed_is_finished_by_the_next_one(cli, known, warehouse, point):
    environment = {**os.environ, "FAULT_AT": f"{point}:kill"}
    command = [sys.executable, "-c", _PROGRAM, "privacy", "erase", "p3", "--yes"]
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    known.clients.driver.execute_query("MATCH (l:StreamLedger) SET l.lease_until = 0")
    assert cli("privacy", "erase", "p3", "--yes").code == 0
    assert mentions(warehouse, "p3") == 0
    assert known.node("p3") is None
    assert rows(warehouse, "select count(*), count(completed_at) from organism.privacy_request") == [(1, 1)]


def test_who_opts_out_loses_ties_with_the_next_run_and_may_come_back(cli, known, warehouse):
    assert cli("privacy", "opt-out", "p3") == (0, "opted out\n", "")
    assert rows(warehouse, "select employee_id, reason from organism.excluded_person") == [("p3", "opted_out")]
    assert not known.clients.redis.exists("metrics:employee:p3")
    known.publish(event(8, "p3", "p5"))
    assert known.run()["skipped"]["left_out"] == 1
    assert known.node("p3")["strength"] == 0.0
    assert cli("privacy", "opt-out", "p3", "--undo") == (0, "opted in again\n", "")
    assert rows(warehouse, "select count(*) from organism.excluded_person") == [(0,)]
    known.publish(event(9, "p3", "p5"))
    known.run()
    assert known.node("p3")["strength"] == 1.0


def test_somebody_may_opt_out_before_anything_is_known_of_them(cli, known):
    done = cli("privacy", "opt-out", "newcomer")
    assert (done.code, done.err) == (0, "note: nobody with this id was known\n")
    known.publish(event(8, "newcomer", "p5"))
    assert known.run()["skipped"]["left_out"] == 1
    assert known.node("newcomer")["degree"] == 0


def test_with_a_key_a_request_finds_the_pseudonym(cli, warehouse, pipeline, monkeypatch):
    monkeypatch.setenv("ORGANISM_PSEUDONYM_KEY", base64.b64encode(bytes(32)).decode())
    pipeline.publish(event(1, "ann", "bob"))
    pipeline.run()
    done = cli("privacy", "export", "ann")
    name = Pseudonyms.from_env().of("ann")
    assert json.loads(done.out)["person"] == name
    assert '"ann"' not in done.out
    assert cli("privacy", "erase", "ann", "--yes").code == 0
    assert pipeline.node(name) is None


def test_a_roster_says_the_same_to_graph_and_warehouse(known, warehouse):
    def load(**flags):
        params = {"path": None, "inline": [{"id": "p4", **flags}], "format": "auto", "dry_run": False}
        tasks_roster.load_roster("load", params)
        return rows(warehouse, "select reason from organism.excluded_person where employee_id = 'p4'")

    assert load(opted_out="yes") == [("opted_out",)]
    [(since,)] = rows(warehouse, "select opted_out_at from organism.privacy_choice where employee_id = 'p4'")
    # Only an explicit no takes it back; saying it again does not make it newer.
    assert load(on_leave="yes") == [("opted_out",)]
    assert load(opted_out="yes") == [("opted_out",)]
    assert rows(warehouse, "select opted_out_at from organism.privacy_choice where employee_id = 'p4'") == [(since,)]
    assert load(opted_out="no") == [("on_leave",)]
    assert load(on_leave="no") == []
