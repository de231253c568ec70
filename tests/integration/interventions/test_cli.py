"""The commands a person on call needs: see, propose, stop, allow again."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from include.organism.interventions import switch
from tests.interventions import MEASURED, NOW

pytestmark = pytest.mark.servers
PERCENT = '{"percent": 30}'


@pytest.fixture
def today(world, monkeypatch):
    """The commands use this machine's clock: metrics of an hour ago."""
    world.measure(datetime.now(UTC) - timedelta(hours=1))
    monkeypatch.setenv("INTERVENTION_MODE", "review")
    monkeypatch.setenv("INTERVENTION_APPROVERS", "ann,bo")
    monkeypatch.setenv("INTERVENTION_WEEKLY_SHARE", "0.5")
    return world


def test_stop_and_resume(world, cli):
    assert cli("interventions", "stop", "--reason", "an incident").code == 0
    assert world.propose("reduce_meetings").reason_code == "kill_switch"
    assert cli("interventions", "resume", "--reason", "over").code == 0
    assert world.propose("reduce_meetings").status == "pending_approval"
    assert [
        row[0] for row in world.rows("select event from organism.intervention_audit where intervention_id is null")
    ] == [
        "interventions_stopped",
        "interventions_resumed",
    ]


def test_a_type_is_allowed_again(world, cli):
    with world.desk() as desk, desk.connection.transaction():
        switch.disable(desk.connection, "reduce_meetings", "test", "harm", NOW)
    assert "may be proposed again" in cli("interventions", "enable", "reduce_meetings", "--reason", "x").out
    assert "was not switched off" in cli("interventions", "enable", "reduce_meetings", "--reason", "x").out


def test_propose_and_list(today, cli):
    estimate = today.estimate(measured_at=MEASURED)
    made = cli(
        "interventions",
        "propose",
        "reduce_meetings",
        "--team",
        "Engineering",
        "--estimate",
        estimate,
        "--parameters",
        PERCENT,
    )
    which, status = made.out.split()
    assert (made.code, made.err, status) == (0, "", "pending_approval")
    listed = json.loads(cli("interventions", "list", "--json").out)
    assert [(row["id"], row["parameters"]) for row in listed] == [(which, {"percent": 30})]
    assert which in cli("interventions", "list", "--status", "pending_approval").out
    assert which not in cli("interventions", "list", "--status", "executed").out
    assert (
        "forbidden_action"
        in cli("interventions", "propose", "fire_employee", "--team", "Sales", "--estimate", estimate).out
    )


class Airflow(BaseHTTPRequestHandler):
    """Answers the log-in and one variable, in the shapes of Airflow 3.3's api-server."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, {"access_token": "t"})

    def do_GET(self):
        value = self.server.variables.get(self.path.removeprefix("/api/v2/variables/"))
        if self.headers["Authorization"] != "Bearer t":
            self._answer(401, {"detail": "Not authenticated"})
        elif value is None:
            self._answer(404, {"detail": f"The Variable with key: `{self.path}` was not found"})
        else:
            key = self.path.rpartition("/")[2]
            more = {"description": None, "is_encrypted": True, "team_name": None}
            self._answer(200, {"key": key, "value": value, **more})

    def _answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def airflow(monkeypatch):
    """The variables of an api-server, which is the one of `.local/env`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Airflow) as server:
        server.variables = {}
        monkeypatch.setenv("AIRFLOW_API_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AIRFLOW_API_USERNAME", "admin")
        monkeypatch.setenv("AIRFLOW_API_PASSWORD", "pw")
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.variables
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("value", "outcome"),
    [("true", "pending_approval"), ("false", "refused kill_switch"), (None, "refused kill_switch_unreadable")],
)
def test_a_proposal_reads_the_variable_where_airflow_keeps_it(today, cli, airflow, monkeypatch, value, outcome):
    monkeypatch.delenv("AIRFLOW_VAR_INTERVENTIONS_ENABLED")
    if value is not None:
        airflow["interventions_enabled"] = value
    words = ["reduce_meetings", "--team", "Engineering", "--estimate", today.estimate(), "--parameters", PERCENT]
    made = cli("interventions", "propose", *words)
    assert made.out.strip().partition(" ")[2] == outcome, made.err


def test_a_proposal_without_an_airflow_to_ask_is_refused(today, cli, monkeypatch):
    monkeypatch.delenv("AIRFLOW_VAR_INTERVENTIONS_ENABLED")
    monkeypatch.delenv("AIRFLOW_API_URL", raising=False)
    words = ["reduce_meetings", "--team", "Engineering", "--estimate", today.estimate(), "--parameters", PERCENT]
    assert "refused kill_switch_unreadable" in cli("interventions", "propose", *words).out


@pytest.mark.parametrize("words", [[], ["--team", "a", "--role", "b"], ["--team", "a", "--parameters", "[1]"]])
def test_wrong_words_are_refused(today, cli, words):
    assert cli("interventions", "propose", "reduce_meetings", "--estimate", "1", *words).code == 1
    assert today.rows("select count(*) from organism.intervention") == [(0,)]
