"""Log lines can be split back into their fields."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations import airflow_logging, context
from include.operations.doctor.installation import ROOT
from include.operations.doctor.settings import LOGGING_CLASS
from include.operations.log import FORMAT_VARIABLE, LineFormatter, LogFormat, log_event, log_format
from include.operations.scrub import MASK


def format_event(event: str, /, **fields: object) -> str:
    """The text that `log_event` writes for these fields."""
    records: list[logging.LogRecord] = []
    # Outside the tree, so that nobody else sees its lines.
    logger = logging.Logger("of-this-test")
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    log_event(logger, event, **fields)
    return records[0].getMessage()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "true"),
        (0.1234567, "0.123457"),
        (12345678.0, "1.23457e+07"),
        (timedelta(milliseconds=1500), "1.5"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        ("plain-text", "plain-text"),
        ("two words", '"two words"'),
        ("", '""'),
        ('a "quote"', '"a \\"quote\\""'),
        ("line\nbreak", '"line\\nbreak"'),
        ("a=b", '"a=b"'),
        ("é", '"\\u00e9"'),
    ],
)
def test_values(value, text):
    assert format_event("e", key=value) == f"e key={text}"


def test_order_and_missing_values():
    assert format_event("read", b=1, a=None, c=2) == "read b=1 c=2"


@given(st.text())
def test_one_line_whatever_the_value(value):
    text = format_event("e", key=value, after=1)
    assert len(text.splitlines()) == 1
    assert text.endswith(" after=1")


def test_percent_signs_are_text(caplog):
    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("x"), "e", share="50%d")
    assert caplog.messages == ["e share=50%d"]


def test_level(caplog):
    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("x"), "e", level=logging.WARNING, level_of=1)
    assert caplog.records[0].levelno == logging.WARNING


def test_the_line_is_the_callers(caplog):
    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("x"), "e")
    assert caplog.records[0].filename == "test_log.py"


# --- context, formats, masking ----------------------------------------------------------


def test_the_fields_of_the_context_are_in_every_line_and_the_callers_win(caplog):
    with caplog.at_level(logging.INFO), context.bind(dag="d", run="r", batch="1-0..2-0"):
        log_event(logging.getLogger("x"), "e", run="own", count=2)
    assert caplog.messages == ["e run=own count=2 dag=d batch=1-0..2-0"]


def test_values_are_clean(caplog):
    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("x"), "e", note="write to jane@example.org", bytes=5_551_234_567)
    assert caplog.messages == [f'e note="write to {MASK}" bytes=5551234567']


@pytest.fixture
def written():
    """A logger, and what `LineFormatter` makes of its lines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("test_log.written")
    logger.addHandler(handler)
    yield logger, lambda: stream.getvalue().splitlines()
    logger.removeHandler(handler)


def test_a_line_of_text(written, monkeypatch):
    monkeypatch.setenv(FORMAT_VARIABLE, "keyvalue")
    logger, lines = written
    with context.bind(run="r"):
        log_event(logger, "e", count=2, level=logging.WARNING)
        logger.warning("login as %s", "postgres://bob:hunter2@db/x")
    own, foreign = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 WARNING test_log\.written e count=2 run=r", own)
    assert foreign.endswith(f"login as postgres://{MASK}@db/x run=r")


def test_a_line_of_json(written, monkeypatch):
    monkeypatch.setenv(FORMAT_VARIABLE, "JSON")
    logger, lines = written
    with context.bind(run="r"):
        log_event(logger, "e", count=2, share=0.5, when=timedelta(seconds=2), event="x", level=logging.WARNING)
        logger.warning("failed for %s", "jane@example.org", exc_info=ValueError("password=hunter2"))
    own, foreign = map(json.loads, lines())
    assert {name: own[name] for name in ("level", "logger", "event", "count", "share", "when", "event_", "run")} == {
        "level": "warning", "logger": "test_log.written", "event": "e", "count": 2, "share": 0.5, "when": 2.0,
        "event_": "x", "run": "r",
    }  # fmt: skip
    assert (foreign["event"], foreign["run"]) == (f"failed for {MASK}", "r")
    assert foreign["exception"].endswith(f"ValueError: password={MASK}")


def test_an_unknown_format_is_text(monkeypatch):
    monkeypatch.setenv(FORMAT_VARIABLE, "xml")
    assert log_format() is LogFormat.KEYVALUE


@pytest.fixture(scope="module", params=["keyvalue", "json"])
def task_log(request, tmp_path_factory):
    """The lines that Airflow's own child, channel and supervisor make of a task's logging, by format."""
    env = os.environ | {
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": LOGGING_CLASS,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "PYTHONPATH": str(ROOT),
        FORMAT_VARIABLE: request.param,
    }
    env.pop("PYTEST_VERSION", None)
    program = Path(__file__).with_name("airflow_log_path.py")
    done = subprocess.run([sys.executable, str(program)], env=env, capture_output=True, text=True, check=True)
    assert "hunter2" in program.read_text()
    assert done.stderr.count(MASK) >= 2, "the component's own console"
    for secret in ("hunter2", "jane", "Jane", "1234567"):
        assert secret not in done.stderr
    return request.param, [json.loads(line) for line in done.stdout.splitlines()]


def test_airflows_task_log_has_our_fields(task_log):
    style, (own, foreign, *_) = task_log
    place = {"dag": "d", "run": "r", "task": "t", "try": 2, "batch": "1-0..2-0"}
    if style == "json":
        assert own["event"] == "batch_committed"
        assert place.items() <= own.items()
        assert (own["entries"], own["seconds"]) == (5, 0.25)
        assert place.items() <= foreign.items()
    else:
        text = f'entries=5 seconds=0.25 note="to {MASK}" dag=d run=r task=t try=2 batch=1-0..2-0'
        assert own["event"] == f"batch_committed {text}"


def test_airflows_task_log_is_clean_with_tracebacks_and_foreign_lines(task_log):
    _, lines = task_log
    text = json.dumps(lines)
    for secret in ("hunter2", "jane", "Jane", "1234567"):
        assert secret not in text
    assert lines[1]["event"] == f"login postgres://{MASK}@db/x"
    assert lines[3]["event"] == f"printed password={MASK} for {MASK}"
    details = [detail["exc_value"] for detail in lines[2]["error_detail"]]
    assert details == [f"token={MASK} call {MASK}", f"Failing row contains {MASK}"]


class Shipper:
    """A remote log of somebody else."""

    processors = ("theirs",)

    def __init__(self):
        self.shipped = []

    def upload(self, path, ti=None):
        self.shipped.append((path, ti))

    def read(self, path, ti):  # noqa: ARG002 - Airflow's interface
        return ["there"], [path]


def test_logs_that_are_shipped_elsewhere_are_cleaned_first_and_still_shipped():
    theirs = Shipper()
    ours = airflow_logging.CleanTaskLog(theirs)
    assert ours.processors == (airflow_logging.clean, "theirs")
    ours.upload("a.log", "ti")
    assert theirs.shipped == [("a.log", "ti")]
    assert ours.read("a.log", "ti") == (["there"], ["a.log"])
    assert not hasattr(ours, "stream")


def test_logs_that_are_not_shipped_are_read_from_airflows_file():
    ours = airflow_logging.CleanTaskLog(None)
    ours.upload("a.log")
    assert ours.read("a.log", None) == ([], None)
