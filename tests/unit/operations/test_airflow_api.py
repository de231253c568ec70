"""The API client against recorded shapes of Airflow 3.3.2's answers."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from include.operations.airflow_api import AirflowApi, AirflowApiError, Run
from include.operations.errors import ErrorClass, classify

DAG_RUN = {
    "dag_id": "d",
    "dag_run_id": "manual__1",
    "state": "queued",
    "start_date": None,
    "end_date": None,
    "duration": None,
}
RUN = Run("d", "manual__1", "queued", None, None, None)


class Server:
    """Answers like an api-server: a login, then what the test lays out per path, in order."""

    def __init__(self, **answers):
        self.answers = answers
        self.requests = []
        self.tokens = 0

    def __call__(self, request):
        self.requests.append(request)
        if request.url.path == "/auth/token":
            self.tokens += 1
            return httpx.Response(201, json={"access_token": f"token{self.tokens}"})
        for part, queue in self.answers.items():
            if request.url.path.endswith(part):
                answer = queue.pop(0) if isinstance(queue, list) else queue
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(request.url.path)


def client(server, url="http://airflow.test/"):
    return AirflowApi(url, "admin", "pw", transport=httpx.MockTransport(server))


def ok(body, status=200):
    return httpx.Response(status, json=body)


def test_trigger_sends_the_date_key_and_the_token():
    server = Server(dagRuns=ok(DAG_RUN))
    with client(server) as api:
        run = api.trigger("d", {"limit": 3})
    assert run == RUN
    login, post = server.requests
    assert json.loads(login.content) == {"username": "admin", "password": "pw"}
    assert json.loads(post.content) == {"logical_date": None, "conf": {"limit": 3}}
    assert post.headers["Authorization"] == "Bearer token1"
    assert post.url == "http://airflow.test/api/v2/dags/d/dagRuns"


def test_a_token_that_ran_out_is_renewed_once():
    server = Server(dagRuns=[httpx.Response(401), ok(DAG_RUN)])
    assert client(server).trigger("d") == RUN
    assert server.requests[-1].headers["Authorization"] == "Bearer token2"
    again = Server(dagRuns=[httpx.Response(401), httpx.Response(401)])
    with pytest.raises(AirflowApiError, match="answered 401"):
        client(again).trigger("d")


def test_wait_reports_changes_and_returns_a_failed_run():
    states = ["queued", "running", "running", "failed"]
    server = Server(manual__1=[ok({**DAG_RUN, "state": state}) for state in states])
    seen = []
    run = client(server).wait(RUN, poll=0, on_change=lambda run: seen.append(run.state))
    assert (run.state, run.finished, seen) == ("failed", True, ["queued", "running", "failed"])


def test_wait_gives_up_with_a_hint():
    with pytest.raises(AirflowApiError, match=r"still queued after 0 s\. Is the DAG paused"):
        client(Server(manual__1=ok(DAG_RUN))).wait(RUN, timeout=0)


def test_runs_since_a_moment_with_its_zone():
    server = Server(dagRuns=ok({"dag_runs": [DAG_RUN], "total_entries": 1}))
    with client(server) as api:
        assert api.runs("d", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == [RUN]
    assert server.requests[1].url.params["start_date_gte"] == "2026-01-02T03:04:05+00:00"


def test_run_ids_are_quoted():
    server = Server(**{"dagRuns/manual__2026-01-01T00:00:00+00:00/x": ok(DAG_RUN)})
    client(server).run("d", "manual__2026-01-01T00:00:00+00:00/x")
    assert server.requests[-1].url.raw_path.endswith(b"manual__2026-01-01T00%3A00%3A00%2B00%3A00%2Fx")


def test_task_instances_in_order_over_pages():
    def item(task, start):
        base = {"map_index": -1, "state": "success", "try_number": 1, "end_date": None, "duration": 0.1}
        return {**base, "task_id": task, "start_date": start}

    pages = [[item("late", "2026-01-01T00:00:02Z"), item("never", None)], [item("early", "2026-01-01T00:00:01Z")]]
    server = Server(taskInstances=[ok({"task_instances": page, "total_entries": 3}) for page in pages])
    assert [task.task_id for task in client(server).task_instances(RUN)] == ["early", "late", "never"]
    assert [dict(request.url.params)["offset"] for request in server.requests[1:]] == ["0", "2"]


def test_xcom():
    server = Server(return_value=ok({"key": "return_value", "value": {"read": 3}}))
    assert client(server).xcom(RUN, "fetch_interactions") == {"read": 3}
    assert server.requests[-1].url.path == (
        "/api/v2/dags/d/dagRuns/manual__1/taskInstances/fetch_interactions/xcomEntries/return_value"
    )


def test_dags():
    item = {
        "dag_id": "d",
        "is_paused": False,
        "timetable_summary": "*/5 * * * *",
        "next_dagrun_run_after": None,
        "tags": [{"name": "organism"}],
        "has_import_errors": False,
    }
    (found,) = client(Server(dags=ok({"dags": [item], "total_entries": 1}))).dags()
    assert (found.dag_id, found.schedule, found.tags) == ("d", "*/5 * * * *", ("organism",))


@pytest.mark.parametrize(
    ("answer", "text", "error_class"),
    [
        (
            ok({"detail": "The Dag with ID: `d` was not found"}, 404),
            "404: The Dag with ID: `d` was not found",
            "VALIDATION",
        ),
        (ok({"detail": [{"msg": "Field\nrequired", "loc": ["x"]}]}, 422), "422: Field required", "VALIDATION"),
        (httpx.Response(502, text="<html>"), "502: Bad Gateway", "NETWORK"),
        (httpx.Response(403, json={"detail": "Forbidden"}), "403: Forbidden", "AUTH"),
        (httpx.Response(200, text="<html>"), "did not answer with JSON", "VALIDATION"),
        (httpx.Response(302, headers={"Location": "/login"}), "redirects elsewhere", "UNKNOWN"),
        (httpx.ConnectError("Connection refused"), "cannot be reached", "NETWORK"),
        (httpx.ReadTimeout("x"), "did not answer in time", "TIMEOUT"),
    ],
)
def test_errors_are_one_line_and_classified(answer, text, error_class):
    with pytest.raises(AirflowApiError) as caught:
        client(Server(dagRuns=answer)).trigger("d")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert classify(caught.value).error_class is ErrorClass(error_class)


def test_a_refused_login_names_the_variables():
    def refuse(request):
        return httpx.Response(401, json={"detail": "Invalid credentials"})

    with pytest.raises(AirflowApiError, match="check AIRFLOW_API_USERNAME and AIRFLOW_API_PASSWORD") as caught:
        client(refuse).dags()
    assert "pw" not in str(caught.value)


def test_environment():
    with pytest.raises(AirflowApiError, match="AIRFLOW_API_USERNAME, AIRFLOW_API_PASSWORD not set"):
        AirflowApi.from_environment({"AIRFLOW_API_URL": "http://airflow.test"})
    names = {"AIRFLOW_API_URL": "http://a.test", "AIRFLOW_API_USERNAME": "u", "AIRFLOW_API_PASSWORD": "p"}
    AirflowApi.from_environment(names).close()
