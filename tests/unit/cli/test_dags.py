"""`dags list` and `trigger` against a small HTTP server that answers like Airflow's."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

RUN = {"dag_id": "d", "dag_run_id": "manual__1", "start_date": None, "end_date": None}


class Airflow:
    """Answers; `states` are the run's states, one for each time it is asked, the last one for ever."""

    def __init__(self):
        self.states = ["queued", "running", "success"]
        self.tasks = []
        self.posted = []
        self.params = True

    def answer(self, method, path, body):
        if path == "/auth/token":
            return {"access_token": "t"}
        if method == "POST":
            self.posted.append((path, body))
            return {**RUN, "state": "queued", "duration": None}
        if path.startswith("/api/v2/dags?"):
            dag = {"is_paused": False, "timetable_summary": None, "next_dagrun_run_after": None, "tags": []}
            dags = [
                {
                    **dag,
                    "dag_id": "a",
                    "timetable_summary": "*/5 * * * *",
                    "tags": [{"name": "x"}],
                    "has_import_errors": False,
                },
                {**dag, "dag_id": "b", "is_paused": True, "has_import_errors": False},
                {**dag, "dag_id": "c", "has_import_errors": True},
            ]
            return {"dags": dags, "total_entries": 3}
        if path.endswith("/details"):
            return {
                "dag_id": "d",
                "params": {"path": {"value": None}, "dry_run": {"value": False}} if self.params else None,
            }
        if "taskInstances" in path:
            return {"task_instances": self.tasks, "total_entries": len(self.tasks)}
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {**RUN, "state": state, "duration": 2.5 if state in {"success", "failed"} else None}


@pytest.fixture
def airflow(monkeypatch):
    told = Airflow()

    class Handler(BaseHTTPRequestHandler):
        def reply(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = json.dumps(told.answer(self.command, self.path, json.loads(body) if body else None)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = reply  # noqa: N815 - the base class's names

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AIRFLOW_API_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AIRFLOW_API_USERNAME", "admin")
        monkeypatch.setenv("AIRFLOW_API_PASSWORD", "secret")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield told
        server.shutdown()


def task(task_id, state, map_index=-1):
    return {
        "task_id": task_id,
        "map_index": map_index,
        "state": state,
        "try_number": 4,
        "start_date": "2026-01-01T00:00:00Z",
        "end_date": None,
        "duration": None,
    }


def test_dags_are_listed_with_their_state(cli, airflow):
    done = cli("dags", "list")
    assert done.code == 0
    header, *lines = [line.split("  ") for line in done.out.splitlines()]
    assert header[0] == "dag"
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [["a", "*/5 * * * *", "on", "-", "x"], ["b", "-", "paused", "-"], ["c", "-", "import error", "-"]]


def test_trigger_sends_the_params_and_does_not_wait(cli, airflow):
    done = cli("trigger", "d", "--conf", '{"path": "x"}')
    assert (done.code, done.out) == (0, "d manual__1: queued\n")
    assert airflow.posted == [("/api/v2/dags/d/dagRuns", {"logical_date": None, "conf": {"path": "x"}})]


def test_a_parameter_that_the_dag_does_not_have_is_refused_with_those_it_has(cli, airflow):
    done = cli("trigger", "d", "--conf", '{"path": "x", "dryrun": true}')
    assert done.code == 2
    said = " ".join(done.err.replace("│", " ").split())
    assert "d has no parameter 'dryrun'; it has dry_run, path" in said
    airflow.params = False
    said = " ".join(cli("trigger", "d", "--conf", '{"path": "x"}').err.replace("│", " ").split())
    assert "d has no parameter 'path'; it has none" in said
    assert airflow.posted == []


def test_waiting_for_a_good_run(cli, airflow):
    done = cli("trigger", "d", "--wait")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "d manual__1: success in 2.5 s"
    assert done.err.split() == ["queued", "running", "success"]


def test_waiting_for_a_failed_run_names_the_failed_tasks(cli, airflow):
    airflow.states = ["failed"]
    airflow.tasks = [
        task("good", "success"),
        task("bad", "failed"),
        task("many", "failed", 3),
        task("next", "upstream_failed"),
    ]
    done = cli("trigger", "d", "--wait")
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert "bad (failed after try 4), many[3] (failed after try 4), next (upstream_failed after try 4)" in last
    assert "good" not in last


def test_waiting_has_an_end(cli, airflow):
    airflow.states = ["queued"]
    done = cli("trigger", "d", "--wait", "--timeout", "1")
    assert done.code == 1
    assert "still queued after 1 s" in done.err


@pytest.mark.parametrize("conf", ["[1]", "{", "3"])
def test_params_that_are_no_object_are_refused_before_anything_is_sent(cli, airflow, conf):
    assert cli("trigger", "d", "--conf", conf).code == 2
    assert airflow.posted == []
