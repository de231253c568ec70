"""The whole system while things break around it, and what it leaves behind in logs, alerts, XCom and tables.

W5 (api-server down), W6 (metadata database restarts), W7 (memory limit, full disk of the logs) and D1 (deployment in
mid-run) of the fault list, and invariant I6 (no secret and no personal value anywhere). One system for all tests; the
last one searches what they left.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import neo4j
import psycopg
import pytest
import redis

from include.operations.airflow_api import AirflowApi, Run
from include.operations.scrub import MASK
from local.simulators.testing import AlertSink
from local.testing import AirflowSystem
from tests.e2e import search

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]
PIPELINE = "organism_incremental_update"
_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"

# What must be nowhere. The names are in the roster and in rows that a server refuses.
NAMES = ["Quirina Seedling-Oakes", "Thorvald Seedbach"]
ADDRESSES = ["quirina.oakes@seed.example.org", "t.seedbach@seed.example.com"]
PHONES = ["+49 171 5550199", "(555) 867-5309"]
SECRETS = [
    "hunter2-seed-password",
    "xoxb-" + "314159265358-" + "seedseedseed",
    "T0SEED/B0SEED/" + "seedWebhookSecret",
    "eyJzZWVkIjoi.eyJzdWIiOiJzZWVk.c2VlZA",
]

LEAK = '''"""Tasks that fail as badly as they can."""

import json
import logging
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag

from include.connections import warehouse
from include.operations.dag_defaults import dag_defaults
from include.operations.errors import InputRejected
from include.operations.task import resilient_task

DEFAULTS = dag_defaults(
    owner="operations", tags=["operations"], task_timeout=timedelta(minutes=2), run_timeout=timedelta(minutes=5)
)


def seeds():
    return json.loads(Path(__file__).with_name("seeds.json").read_text())


def quote_a_secret():
    text = seeds()["text"]
    print("printed:", text)
    logging.getLogger("some.library").warning("logged: %s", text)
    raise InputRejected(text, what_to_do="nothing: a test")


def insert_a_row_twice():
    with warehouse() as connection:
        connection.execute("create temporary table person (name text primary key, mail text not null)")
        for person in seeds()["people"]:
            connection.execute("insert into person values (%s, %s)", person)
            connection.execute("insert into person values (%s, %s)", person)


def use_up_its_memory():
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 200_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # Not the exact limit is the matter, but that there is one.
    return len([bytearray(10_000_000) for _ in range(1_000)])


@dag(dag_id="probe_leak", schedule=None, doc_md=__doc__, **DEFAULTS)
def probe_leak():
    resilient_task(object_name="probe", retries=0)(quote_a_secret)()
    resilient_task(object_name="probe", retries=0)(insert_a_row_twice)()
    resilient_task(object_name="probe", retries=0)(use_up_its_memory)()


probe_leak()
'''

DEPLOY = '''"""Two tasks, and a wait in the first."""

import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag

from include.operations.dag_defaults import dag_defaults
from include.operations.task import resilient_task

VERSION = "VERSION_HERE"
HERE = Path(__file__).parent
DEFAULTS = dag_defaults(
    owner="operations", tags=["operations"], task_timeout=timedelta(minutes=4), run_timeout=timedelta(minutes=8)
)


def first(run_id):
    (HERE / f"{run_id}.begun").touch()
    while not (HERE / f"{run_id}.go").exists():
        time.sleep(0.1)
    (HERE / f"{run_id}.first").write_text(VERSION)


def second(run_id):
    (HERE / f"{run_id}.second").write_text(VERSION)


@dag(dag_id="probe_deploy", schedule=None, doc_md=__doc__, **DEFAULTS)
def probe_deploy():
    resilient_task(first)() >> resilient_task(second)()


probe_deploy()
'''


class World:
    """The system, its clients, the folder of the test's own DAGs, and how many events were published."""

    def __init__(self, system: AirflowSystem, folder: Path) -> None:
        self.system, self.folder = system, folder
        self.env = system.env
        self.api = AirflowApi.from_environment(self.env)
        self.sink = AlertSink.attach(self.env)
        self.published = 0

    def trigger(self, dag: str, **conf: Any) -> Run:
        """Trigger as soon as the DAG is known."""
        eventually(lambda: self._get(f"dags/{dag}").status_code == 200, 180, f"{dag} was not parsed")
        return self.api.trigger(dag, conf)

    def end(self, run: Run, timeout: float = 300) -> Run:
        return self.api.wait(run, timeout=timeout)

    def succeed(self, run: Run, timeout: float = 300) -> None:
        ended = self.end(run, timeout)
        assert ended.state == "success", [(t.task_id, t.state, t.tries) for t in self.api.task_instances(ended)]

    def import_errors(self) -> list[dict[str, Any]]:
        return list(self._get("importErrors").raise_for_status().json()["import_errors"])

    def _get(self, path: str) -> Any:
        return self.system.api.get(f"/api/v2/{path}")

    def publish(self, count: int) -> None:
        """Events among people whose ids are e-mail addresses."""
        with redis.Redis.from_url(self.env["AIRFLOW_CONN_ORGANISM_REDIS"]) as client:
            pipe = client.pipeline(transaction=False)
            for number in range(self.published, self.published + count):
                source, target = ADDRESSES if number % 2 else ADDRESSES[::-1]
                fields = {"id": f"e{number}", "source": source, "target": target, "type": "email"}
                pipe.xadd("interactions", {**fields, "timestamp": str(1_700_000_000 + number)})
            pipe.execute()
        self.published += count

    def quiet(self) -> int:
        """Wait until no tick of the schedule drains what a test publishes; returns how much is in the graph."""
        # Not right after a tick either: the scheduler makes its run some seconds late.
        eventually(lambda: 20 < time.time() % 300 < 255, 120, "the clock stands still")
        runs = f"dags/{PIPELINE}/dagRuns?state=running&state=queued"
        eventually(lambda: self._get(runs).raise_for_status().json()["total_entries"] == 0, 240, "a run does not end")
        return self.in_graph()

    def in_graph(self) -> int:
        """Interactions in the graph: each event exactly one."""
        records = self.cypher("MATCH (:Employee)-[r:INTERACTS]->(:Employee) RETURN coalesce(sum(r.count), 0) AS n")
        return int(records[0]["n"])

    def all_in_graph(self) -> None:
        """Wait for each published event once: a run that met one of the schedule leaves the rest to it."""
        found = f"{self.published} events are not in the graph once each"
        eventually(lambda: self.in_graph() == self.published, 180, found)

    def cypher(self, query: str) -> list[neo4j.Record]:
        parts = urlsplit(self.env["AIRFLOW_CONN_ORGANISM_NEO4J"])
        uri, auth = f"bolt://{parts.hostname}:{parts.port}", ("neo4j", unquote(parts.password or ""))
        with neo4j.GraphDatabase.driver(uri, auth=auth) as driver:
            return driver.execute_query(query).records  # type: ignore[arg-type]

    def task_log(self, run: Run, task: str) -> list[dict[str, Any]]:
        """The lines on disk, of all tries."""
        folder = self.system.state_dir / f"airflow/logs/dag_id={run.dag_id}/run_id={run.run_id}/task_id={task}"
        return [json.loads(line) for path in sorted(folder.glob("*.log")) for line in path.read_text().splitlines()]


def eventually(condition: Callable[[], Any], seconds: float, complaint: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(complaint)
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def airflow_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSystem]:
    """A system of this file's own, with a second folder of DAGs."""
    folder = tmp_path_factory.mktemp("probes")
    bundles = [
        {"name": "dags-folder", "classpath": _BUNDLE, "kwargs": {}},
        {"name": "probes", "classpath": _BUNDLE, "kwargs": {"path": str(folder)}},
    ]
    text = " ".join(
        [
            f"postgres://seed:{SECRETS[0]}@db/x",
            f"token={SECRETS[1]}",
            f"https://hooks.slack.com/services/{SECRETS[2]}",
            f"Bearer {SECRETS[3]}",
            *(f"<{address}>" for address in ADDRESSES),
            *PHONES,
        ]
    )
    people = list(zip(NAMES, ADDRESSES, strict=True))
    (folder / "seeds.json").write_text(json.dumps({"text": text, "people": people}))
    (folder / "probe_leak.py").write_text(LEAK)
    (folder / "probe_deploy.py").write_text(DEPLOY.replace("VERSION_HERE", "v1"))
    settings = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "PIPELINE_LOG_FORMAT": "json",
        # A changed file is taken up by the next look at it.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    }
    with AirflowSystem(tmp_path_factory.mktemp("system"), settings) as system:
        yield system


@pytest.fixture(scope="module")
def world(airflow_system: AirflowSystem, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = next(tmp_path_factory.getbasetemp().glob("probes*"))
    return World(airflow_system, folder)


def test_a_failure_full_of_secrets_is_logged_recorded_and_told_without_them(world: World) -> None:
    run = world.trigger("probe_leak")
    assert world.end(run).state == "failed"
    lines = world.task_log(run, "quote_a_secret")
    printed = next(line for line in lines if str(line["event"]).startswith("printed:"))
    assert MASK in printed["event"]
    foreign = next(line for line in lines if line.get("logger") == "some.library")
    place = {"dag": "probe_leak", "run": run.run_id, "task": "quote_a_secret", "try": 1, "object": "probe"}
    assert place.items() <= foreign.items(), "the fields are in lines of libraries, too"
    failed = next(line for line in lines if line["event"] == "try_failed")
    assert place.items() <= failed.items()
    assert failed["error_class"] == "VALIDATION"
    assert any("error_detail" in line for line in lines), "the traceback is there"
    message = world.sink.wait(lambda sink: [m for m in sink.slack_messages() if "probe_leak" in json.dumps(m)], 120)
    assert len(message) == 1, "one run, one incident, however many tasks failed"
    with psycopg.connect(world.env["AIRFLOW_CONN_WAREHOUSE"].replace("postgres://", "postgresql://", 1)) as connection:
        query = "select task_id, error_class, code from ops.run_error where run_id = %s order by task_id"
        rows = connection.execute(query, [run.run_id]).fetchall()
    assert rows == [
        ("insert_a_row_twice", "VALIDATION", "23505"),
        ("quote_a_secret", "VALIDATION", "INPUT_REJECTED"),
        ("use_up_its_memory", "UNKNOWN", "MemoryError"),
    ]


def test_people_and_bad_messages_go_through_the_pipeline(world: World, tmp_path: Path) -> None:
    roster = tmp_path / "roster.csv"
    rows = [f"{address},{name},Sales,no" for address, name in zip(ADDRESSES, NAMES, strict=True)]
    roster.write_text("\n".join(["id,name,team,opted_out", *rows, f"third,{NAMES[0]},Sales,perhaps"]) + "\n")
    world.succeed(world.trigger("organism_load_roster", path=str(roster)))
    with redis.Redis.from_url(world.env["AIRFLOW_CONN_ORGANISM_REDIS"]) as client:
        metadata = json.dumps({"name": NAMES[0], "phone": PHONES[0]})
        client.xadd("interactions", {"id": "bad", "source": ADDRESSES[0], "type": "email", "metadata": metadata})
    world.publish(1_000)
    world.succeed(world.trigger(PIPELINE))
    world.all_in_graph()
    found = world.cypher("MATCH (e:Employee) RETURN e.id AS id, e.name AS name")
    assert {(record["id"], record["name"]) for record in found} == set(zip(ADDRESSES, NAMES, strict=True))


def test_a_task_survives_that_the_api_server_is_gone(world: World) -> None:
    """W5: killed in mid-task; until it is back the task works on, ends, and has nobody to tell."""
    before = world.quiet()
    world.publish(10_000)
    # Hundreds of commits, so that there is a middle also on a fast machine.
    run = world.trigger(PIPELINE, batch_size=25)
    eventually(lambda: before < world.in_graph() < world.published, 180, "the drain did not begin")
    killed = world.system.kill("api-server")
    eventually(lambda: world.in_graph() == world.published, 180, "the task did not work on without the api-server")
    world.system.wait_for("api-server", killed)
    world.succeed(run)
    world.all_in_graph()


def test_the_metadata_database_restarts_in_the_middle_of_a_run(world: World) -> None:
    """W6: killed and started again while a task runs; the run goes on, and so does the schedule."""
    run = world.trigger("probe_deploy")
    eventually((world.folder / f"{run.run_id}.begun").exists, 180, "the first task did not begin")
    killed = world.system.kill("postgres")
    world.system.wait_for("postgres", killed)
    (world.folder / f"{run.run_id}.go").touch()
    eventually(lambda: _state(world, run) == "success", 180, "the run did not go on")
    world.publish(500)
    world.succeed(world.trigger(PIPELINE))
    world.all_in_graph()


def test_a_disk_that_is_full_for_logs_does_not_hold_a_run_up(world: World) -> None:
    """W7: every write to the log of the first try fails; what the pipeline does is not in the log."""
    run_id = f"full-{uuid.uuid4()}"
    folder = world.system.state_dir / f"airflow/logs/dag_id={PIPELINE}/run_id={run_id}/task_id=update_graph"
    folder.mkdir(parents=True)
    (folder / "attempt=1.log").symlink_to("/dev/full")
    world.publish(300)
    body = {"dag_run_id": run_id, "logical_date": None, "conf": {}}
    world.system.api.post(f"/api/v2/dags/{PIPELINE}/dagRuns", json=body).raise_for_status()
    ended = world.end(world.api.run(PIPELINE, run_id))
    tasks = {t.task_id: (t.state, t.tries) for t in world.api.task_instances(ended)}
    assert ended.state == "success", tasks
    world.all_in_graph()


def test_a_deployment_in_the_middle_of_a_run(world: World) -> None:
    """D1: the file breaks and is replaced while the first task runs; that task keeps its code, the run ends well."""
    path = world.folder / "probe_deploy.py"
    path.write_text(DEPLOY.replace("VERSION_HERE", "v1"))
    eventually(lambda: not world.import_errors(), 120, "the file cannot be read")
    run = world.trigger("probe_deploy")
    eventually((world.folder / f"{run.run_id}.begun").exists, 180, "the first task did not begin")
    path.write_text("from airflow.sdk import dag\nimport a_module_that_is_not_there\n")
    eventually(world.import_errors, 120, "the import error was not found")
    assert _state(world, run) == "running"
    path.write_text(DEPLOY.replace("VERSION_HERE", "v2"))
    eventually(lambda: not world.import_errors(), 120, "the mended file was not taken")
    (world.folder / f"{run.run_id}.go").touch()
    world.succeed(run)
    # A bundle in a folder has no versions: what begins later, begins with the new file.
    read = {step: (world.folder / f"{run.run_id}.{step}").read_text() for step in ("first", "second")}
    assert read == {"first": "v1", "second": "v2"}


def _state(world: World, run: Run) -> str | None:
    try:
        return world.api.run(run.dag_id, run.run_id).state
    except Exception:  # noqa: BLE001 - the api-server may just have lost its database
        return None


def test_no_secret_and_no_personal_value_is_in_any_log_alert_xcom_or_table(world: World, tmp_path: Path) -> None:
    """I6: searches what all tests before left. The graph, the stream and its dead letters hold people by design."""
    if not world.published:  # alone, or the second try of the module's last test: the system is a new one
        test_a_failure_full_of_secrets_is_logged_recorded_and_told_without_them(world)
        test_people_and_bad_messages_go_through_the_pipeline(world, tmp_path)
    needles = {*NAMES, *ADDRESSES, *PHONES, *SECRETS, *_own_secrets(world.env)}
    places = {**search.log_files(world.system.state_dir), **search.tables(world.env), **search.alerts(world.sink)}
    # That the search works: it finds what has to be there.
    assert any("probe_leak" in text for name, text in places.items() if name.startswith("file "))
    assert PIPELINE in places["table public.xcom"]
    assert "probe_leak" in places["table ops.run_error"]
    assert "probe_leak" in places["alerts slack"]
    found = [(name, needle) for name, text in places.items() for needle in needles if needle.lower() in text.lower()]
    assert found == []


def _own_secrets(env: dict[str, str]) -> set[str]:
    """Passwords and keys with which this system was started."""
    urls = [value for name, value in env.items() if name.startswith("AIRFLOW_CONN_")]
    urls.append(env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    passwords = {unquote(urlsplit(url).password or "") for url in urls}
    keys = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
    return {each for each in (*passwords, *(env[key] for key in keys), env["AIRFLOW_API_PASSWORD"]) if each}
