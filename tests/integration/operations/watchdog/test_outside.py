"""The dead-man check: seen from outside, with real channels and a clock of the test's."""

import json
import os
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from include.operations.watchdog import outside
from include.operations.watchdog.outside import BAD, NO_PING, UNTOLD, WELL
from tests.integration.operations.patience import patient_alerts

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[4]
DOWN = "postgres://nobody:wrong@127.0.0.1:1/airflow"


class Outside:
    """Cron on another machine: a look every five minutes."""

    def __init__(self, airflow, sink, state, monkeypatch):
        self.airflow = airflow
        self.sink = sink
        self.state = state
        self.patch = monkeypatch
        airflow.dag("ops_watchdog")
        self.works()

    def works(self):
        """All parts live, and the watchdog has just made its round."""
        self.airflow.connection.execute("delete from job; delete from dag_run")
        self.airflow.alive()
        self.airflow.run("ops_watchdog", "r", self.airflow.ago(minutes=2), self.airflow.ago(minutes=1))

    def look(self, minutes=5, **given):
        self.airflow.now += timedelta(minutes=minutes)
        return outside.look(self.state, now=self.airflow.now, **given)

    def told(self):
        return [message["text"] for message in self.sink.slack_messages()]


@pytest.fixture
def cron(airflow, alert_sink, monkeypatch, tmp_path):
    for name, value in alert_sink.connections.items():
        monkeypatch.setenv(name, value)
    patient_alerts(monkeypatch)
    # Nothing of Airflow's is needed, and nothing of the warehouse.
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", DOWN)
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://nobody:wrong@127.0.0.1:1/airflow")
    return Outside(airflow, alert_sink, tmp_path / "deep" / "state.json", monkeypatch)


def test_all_is_well_and_nothing_is_said(cron):
    assert cron.look(minutes=1) == (WELL, (), ())
    assert cron.told() == []


def test_a_dead_scheduler_is_told_once_and_its_return_once(cron):
    for _ in range(6):
        found = cron.look()
        assert found.code == BAD
    # After 20 minutes the watchdog is missed, too: the same episode.
    assert [line.partition(":")[0] for line in found.faults] == [
        "scheduler",
        "dag-processor",
        "triggerer",
        "ops_watchdog",
    ]
    assert found.faults[0] == "scheduler: no sign of life for 1,804 s, allowed are 120 s"
    for _ in range(3):
        cron.works()
        assert cron.look(minutes=1).code == WELL
    alert, recovery = cron.told()
    assert "Airflow is not working: scheduler: no sign of life for 304 s" in alert
    assert "Airflow works again" in recovery
    assert len(cron.sink.emails()) == 2
    assert cron.sink.emails()[0]["headers"]["Auto-Submitted"]


def test_a_database_that_is_gone_is_told_once(cron):
    cron.patch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", DOWN)
    for _ in range(3):
        found = cron.look()
        assert found == (BAD, ("Airflow's metadata cannot be read: NETWORK OperationalError",), ())
    assert len(cron.told()) == 1
    assert "dead-man" in str(cron.sink.slack_messages()[0]["blocks"])


def test_a_watchdog_that_does_not_run_is_told_while_everything_lives(cron):
    cron.airflow.connection.execute("update dag set is_paused = true")
    cron.airflow.now += timedelta(minutes=21)
    cron.airflow.connection.execute("update job set latest_heartbeat = %s", [cron.airflow.now])
    found = cron.look(minutes=0)
    assert found.code == BAD
    assert found.faults == ("ops_watchdog: no sign of life for 22 min, allowed are 20 min; the DAG is paused",)


def test_a_watchdog_that_is_new_has_time_for_its_first_round(cron):
    cron.airflow.connection.execute("delete from dag_run; update job set start_date = latest_heartbeat")
    assert cron.look(minutes=1).code == WELL
    cron.airflow.now += timedelta(minutes=21)
    cron.airflow.connection.execute("update job set latest_heartbeat = %s", [cron.airflow.now])
    assert cron.look(minutes=0).code == BAD


def test_when_no_channel_takes_the_message_it_comes_with_the_next_look(cron):
    cron.sink.behave("slack", "server_error")
    cron.sink.behave("smtp", "drop")
    found = cron.look()
    assert (found.code, found.notes) == (UNTOLD, ("no alert channel took the message",))
    cron.sink.behave("slack", "ok")
    assert cron.look().code == BAD
    assert cron.look().code == BAD
    assert len(cron.told()) == 1


def test_what_nobody_could_be_told_of_and_is_over_is_not_told_any_more(cron):
    cron.sink.behave("slack", "server_error")
    cron.sink.behave("smtp", "drop")
    assert cron.look().code == UNTOLD
    cron.sink.behave("slack", "ok")
    for _ in range(3):
        cron.works()
        assert cron.look(minutes=1).code == WELL
    assert cron.told() == []


def test_without_any_channel_the_exit_code_says_so(cron):
    for name in cron.sink.connections:
        cron.patch.delenv(name)
    assert cron.look().code == UNTOLD


@pytest.mark.parametrize("content", ["", "{", "[]", '{"episode": {"check": 1}, "told": true}', '{"episode": null}'])
def test_a_state_that_cannot_be_read_remembers_nothing(cron, content):
    cron.state.parent.mkdir()
    cron.state.write_text(content)
    assert cron.look().code == BAD
    assert len(cron.told()) == 1
    assert json.loads(cron.state.read_text())["told"] is True


def test_a_state_that_cannot_be_written_is_said_and_the_alert_leaves_all_the_same(cron):
    cron.state.parent.write_text("a file where the folder should be")
    found = cron.look()
    assert found.code == BAD
    assert "the state file cannot be written" in found.notes[0]
    assert len(cron.told()) == 1


class Pings:
    """A service that is pinged."""

    def __init__(self):
        self.status = 200
        self.paths = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.paths.append(self.path)
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_arguments):
                """Nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/secret"


@pytest.fixture
def pings():
    made = Pings()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_the_heartbeat_url_is_pinged_only_when_all_is_well(cron, pings):
    assert cron.look(minutes=1, heartbeat_url=pings.url).code == WELL
    assert pings.paths == ["/ping/secret"]
    assert cron.look(minutes=30, heartbeat_url=pings.url).code == BAD
    assert pings.paths == ["/ping/secret"]


def test_a_heartbeat_url_that_does_not_answer_is_said_without_its_secret(cron, pings):
    pings.status = 500
    found = cron.look(minutes=1, heartbeat_url=pings.url)
    assert found == (NO_PING, (), ("the heartbeat URL did not take the ping: HTTP 500",))
    found = cron.look(minutes=0, heartbeat_url="http://127.0.0.1:1/secret")
    assert found.notes == ("the heartbeat URL did not take the ping: ConnectError",)


def test_as_cron_calls_it(cron, cli, tmp_path):
    """A process of its own, with next to no environment, and Airflow and all databases down."""
    cron.patch.setenv("AIRFLOW_CONN_AIRFLOW_METADATA", DOWN)
    command = [sys.executable, "-m", "include.cli", "doctor", "--watch", "--state", str(cron.state)]
    kept = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")}
    env = kept | {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (
        1,
        "Airflow's metadata cannot be read: NETWORK OperationalError\n",
    )
    again = cli("doctor", "--watch", "--json", "--state", cron.state)
    assert again.code == 1
    assert json.loads(again.out) == {"ok": False, "faults": [done.stdout.strip()], "notes": []}
    assert len(cron.told()) == 1
