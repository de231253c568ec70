"""From a stream id to the run and the transaction that wrote it, through the log lines and rows of real steps."""

import json
import logging

import pytest

from include.operations import context
from include.operations.log import LineFormatter
from include.organism import report
from include.organism.settings import Settings
from include.organism.stream import StreamId
from include.organism.trace import transaction_of
from tests.faults.world import event, run_steps

from .test_lag import servers

__all__ = ["servers"]
pytestmark = pytest.mark.servers


@pytest.fixture
def task_log(tmp_path, monkeypatch):
    """Log lines of a run go where Airflow puts them, in its JSON lines."""
    monkeypatch.setenv("PIPELINE_LOG_FORMAT", "json")
    logger = logging.getLogger("include.organism.drain")
    before = logger.level
    logger.setLevel(logging.INFO)
    handlers = []

    def start(run):
        path = tmp_path / "dag_id=organism_incremental_update" / f"run_id={run}" / "task_id=update_graph"
        path.mkdir(parents=True)
        handler = logging.FileHandler(path / "attempt=1.log")
        handler.setFormatter(LineFormatter())
        for old in handlers:
            logger.removeHandler(old)
        handlers.append(handler)
        logger.addHandler(handler)

    yield start
    for handler in handlers:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(before)


def test_a_stream_id_leads_to_its_run_and_transaction(cli, servers, stream, task_log, tmp_path):
    settings = Settings(stream=stream, batch_size=4)
    ids = {}
    for run in ("run-1", "run-2"):
        task_log(run)
        ids[run] = [servers.redis.xadd(stream, event(f"{run}-{n}")).decode() for n in range(10)]
        with context.bind(run=run, task="update_graph"):
            result = run_steps(servers, settings, run)
        from include.connections import warehouse

        with warehouse() as connection:
            report.write(connection, run, result["update"])

    def trace(stream_id):
        done = cli("interactions", "trace", stream_id, "--logs", tmp_path, "--json")
        return done.code, json.loads(done.out)

    numbers = set()
    for run, entries in ids.items():
        for place, stream_id in enumerate(entries):
            code, found = trace(stream_id)
            assert (code, found["state"], found["run_id"]) == (0, "settled", run)
            batch = found["transaction"]
            assert batch["batch"] == f"{entries[place // 4 * 4]}..{entries[min(place // 4 * 4 + 3, 9)]}"
            assert batch["epoch"] == found["epoch"]
            numbers.add(batch["transaction"])
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6], "each transaction has a number of its own"
    lines = (
        tmp_path / "dag_id=organism_incremental_update/run_id=run-1/task_id=update_graph/attempt=1.log"
    ).read_text()
    assert all(json.loads(line)["run"] == "run-1" for line in lines.splitlines()), "threads have the fields too"


def test_a_dead_letter_a_waiting_entry_and_one_nobody_saw(cli, servers, stream):
    settings = Settings(stream=stream)
    bad = servers.redis.xadd(stream, {"id": "bad"}).decode()
    run_steps(servers, settings, "run-1")
    waiting = servers.redis.xadd(stream, event(2)).decode()
    done = cli("interactions", "trace", bad)
    assert (done.code, "dead letter" in done.out) == (0, True)
    assert "waiting" in cli("interactions", "trace", waiting).out
    unknown = cli("interactions", "trace", "99999999999999-0")
    assert (unknown.code, "never seen" in unknown.out) == (1, True)
    assert cli("interactions", "trace", "yesterday").code == 2


def test_the_text_format_is_understood_too():
    line = json.dumps({"event": "batch_committed transaction=7 epoch=2 entries=3 seconds=0.1 run=r batch=5-0..7-9"})
    assert transaction_of([line], StreamId(6, 3)) == {
        "transaction": 7, "epoch": 2, "entries": 3, "batch": "5-0..7-9",
    }  # fmt: skip
    assert transaction_of([line, "not json", json.dumps({"event": "x"})], StreamId(8, 0)) is None
