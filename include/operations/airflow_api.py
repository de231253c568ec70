"""A small client of Airflow's REST API v2: list, trigger, wait, read results. Errors are one clear line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_PAGE: Final = 100
FINISHED: Final = frozenset({"success", "failed"})


class AirflowApiError(Exception):
    """A request failed; the text is one line for a person. The cause, when there is one, is the HTTP error."""


@dataclass(frozen=True, slots=True)
class Dag:
    """A DAG as Airflow lists it."""

    dag_id: str
    is_paused: bool
    schedule: str | None
    next_run: str | None
    tags: tuple[str, ...]
    has_import_errors: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a DAG; times are ISO-8601 text as Airflow gives them."""

    dag_id: str
    run_id: str
    state: str
    started: str | None
    ended: str | None
    seconds: float | None

    @property
    def finished(self) -> bool:
        """Whether the run came to its end, good or bad."""
        return self.state in FINISHED


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """One task of a run, as its last try left it."""

    task_id: str
    map_index: int
    state: str | None
    tries: int
    started: str | None
    ended: str | None
    seconds: float | None


class AirflowApi:
    """Talks to one api-server. Logs in at the first request, and again when the token has run out."""

    def __init__(self, url: str, username: str, password: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._login = {"username": username, "password": password}
        self._client = httpx.Client(base_url=self._url, timeout=_TIMEOUT, transport=transport)
        self._token: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Make a client from AIRFLOW_API_URL, AIRFLOW_API_USERNAME and AIRFLOW_API_PASSWORD."""
        given = os.environ if environ is None else environ
        names = ("AIRFLOW_API_URL", "AIRFLOW_API_USERNAME", "AIRFLOW_API_PASSWORD")
        if missing := [name for name in names if not given.get(name)]:
            raise AirflowApiError(f"{', '.join(missing)} not set: source .local/env after `make up`, or export them.")
        return cls(*(given[name] for name in names))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def dags(self) -> list[Dag]:
        """List every DAG, by id."""
        return [
            Dag(
                dag_id=item["dag_id"],
                is_paused=item["is_paused"],
                schedule=item["timetable_summary"],
                next_run=item["next_dagrun_run_after"],
                tags=tuple(tag["name"] for tag in item["tags"]),
                has_import_errors=item["has_import_errors"],
            )
            for item in self._pages("/api/v2/dags", "dags", {"order_by": "dag_id"})
        ]

    def params(self, dag_id: str) -> frozenset[str]:
        """Names of a DAG's params."""
        return frozenset(self._send("GET", f"/api/v2/dags/{_part(dag_id)}/details")["params"] or ())

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> Run:
        """Start a run; Airflow refuses a value that does not fit its param, and ignores one that has no param."""
        # The key must be there even without a date: the API refuses a body that lacks it.
        body = {"logical_date": None, "conf": dict(conf or {})}
        return _run(self._send("POST", f"/api/v2/dags/{_part(dag_id)}/dagRuns", json=body))

    def runs(self, dag_id: str, since: datetime) -> list[Run]:
        """List the runs of a DAG that started at a moment or later, in the order in which they were made."""
        params = {"start_date_gte": since.isoformat(), "order_by": "id"}
        path = f"/api/v2/dags/{_part(dag_id)}/dagRuns"
        return [_run(item) for item in self._pages(path, "dag_runs", params)]

    def run(self, dag_id: str, run_id: str) -> Run:
        """Read one run as it is now."""
        return _run(self._send("GET", f"/api/v2/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"))

    def wait(
        self, run: Run, *, timeout: float = 600.0, poll: float = 1.0, on_change: Callable[[Run], None] | None = None
    ) -> Run:
        """Wait until the run has ended and return it; a failed run is returned too, the caller decides."""
        deadline = time.monotonic() + timeout
        last = ""
        while True:
            run = self.run(run.dag_id, run.run_id)
            if on_change is not None and run.state != last:
                on_change(run)
            last = run.state
            if run.finished:
                return run
            if time.monotonic() >= deadline:
                hint = " Is the DAG paused, or another run of it active?" if run.state == "queued" else ""
                raise AirflowApiError(f"{run.dag_id} {run.run_id} is still {run.state} after {timeout:.0f} s.{hint}")
            time.sleep(poll)

    def task_instances(self, run: Run) -> list[TaskInstance]:
        """List the tasks of a run in the order they started; those that have not started come last."""
        path = f"/api/v2/dags/{_part(run.dag_id)}/dagRuns/{_part(run.run_id)}/taskInstances"
        found = [
            TaskInstance(
                task_id=item["task_id"],
                map_index=item["map_index"],
                state=item["state"],
                tries=item["try_number"],
                started=item["start_date"],
                ended=item["end_date"],
                seconds=item["duration"],
            )
            for item in self._pages(path, "task_instances", {})
        ]
        return sorted(found, key=lambda task: (task.started is None, task.started or "", task.task_id, task.map_index))

    def xcom(self, run: Run, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Read a task's result."""
        path = f"/api/v2/dags/{_part(run.dag_id)}/dagRuns/{_part(run.run_id)}"
        path += f"/taskInstances/{_part(task_id)}/xcomEntries/{_part(key)}"
        # Airflow gives the value of a JSON type as it is stored, which is what our tasks return.
        return self._send("GET", path, params={"map_index": map_index})["value"]

    def variable(self, key: str) -> str:
        """Read an Airflow Variable; the error says 404 when there is none."""
        return str(self._send("GET", f"/api/v2/variables/{_part(key)}")["value"])

    def _pages(self, path: str, key: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._send("GET", path, params={**params, "limit": _PAGE, "offset": offset})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def _send(self, method: str, path: str, **request: Any) -> Any:
        if self._token is None:
            self._token = self._log_in()
        response = self._exchange(method, path, **request)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # The token ran out, or the api-server restarted with another signing key.
            self._token = self._log_in()
            response = self._exchange(method, path, **request)
        return _checked(response)

    def _log_in(self) -> str:
        response = self._exchange("POST", "/auth/token", json=self._login)
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise AirflowApiError(
                f"Airflow at {self._url} refused the login: check AIRFLOW_API_USERNAME and AIRFLOW_API_PASSWORD."
            )
        return str(_checked(response)["access_token"])

    def _exchange(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token is not None else {}
        try:
            return self._client.request(method, path, headers=headers, **request)
        except httpx.TimeoutException as error:
            raise AirflowApiError(f"Airflow at {self._url} did not answer in time ({type(error).__name__}).") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AirflowApiError(
                f"Airflow at {self._url} cannot be reached ({type(error).__name__}): is it up? AIRFLOW_API_URL right?"
            ) from error


def _run(item: Mapping[str, Any]) -> Run:
    return Run(
        dag_id=item["dag_id"],
        run_id=item["dag_run_id"],
        state=item["state"],
        started=item["start_date"],
        ended=item["end_date"],
        seconds=item["duration"],
    )


def _part(text: str) -> str:
    """Quote one part of a path: run ids hold plus signs and colons, and a slash would change the address."""
    return quote(text, safe="")


def _checked(response: httpx.Response) -> Any:
    if response.is_success:
        try:
            return response.json()
        except ValueError as error:
            raise AirflowApiError(
                f"{response.request.url.path} did not answer with JSON: is AIRFLOW_API_URL an Airflow api-server?"
            ) from error
    if response.is_redirect:
        # Not followed, because a POST would arrive as a GET.
        raise AirflowApiError(f"{response.request.url.path} redirects elsewhere: correct AIRFLOW_API_URL.")
    what = f"{response.request.method} {response.request.url.path} answered {response.status_code}"
    cause = httpx.HTTPStatusError(what, request=response.request, response=response)
    raise AirflowApiError(f"{what}: {_detail(response)}") from cause


def _detail(response: httpx.Response) -> str:
    """Return Airflow's own words on one line."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
    if isinstance(detail, list):
        detail = "; ".join(str(item.get("msg", item)) if isinstance(item, dict) else str(item) for item in detail)
    return " ".join(str(detail).split())
