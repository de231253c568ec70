"""Sends lines the way of a task's lines in Airflow 3.3: child process, JSON channel, supervisor, file."""

import io
import logging
import sys

import structlog
from airflow._shared.logging import configure_logging as configure_component
from airflow.sdk.execution_time.supervisor import forward_to_log, process_log_messages_from_subprocess
from airflow.sdk.log import configure_logging, logging_processors

from include.operations import context
from include.operations.log import log_event

# The task's side.
channel = io.BytesIO()
configure_logging(json_output=True, output=channel, sending_to_supervisor=True)
log = logging.getLogger("include.example")
with context.bind(dag="d", run="r", task="t", **{"try": 2}, batch="1-0..2-0"):
    log_event(log, "batch_committed", entries=5, seconds=0.25, note="to jane@example.org", level=logging.WARNING)
    logging.getLogger("foreign.library").warning("login %s", "postgres://bob:hunter2@db/x")


def refuse() -> None:
    raise ValueError("Failing row contains (1, Jane Doe).")


def fail() -> None:
    try:
        refuse()
    except ValueError as error:
        raise RuntimeError("token=hunter2 call +49 170 1234567") from error


try:
    fail()
except RuntimeError:
    structlog.get_logger("task").exception("Task failed with exception")
sent = channel.getvalue()

# The supervisor's side: its own console, the task's file, and both for what the task prints.
console = io.StringIO()
configure_component(json_output=False, output=console, colors=False)
file = io.BytesIO()
logger = structlog.wrap_logger(
    structlog.BytesLogger(file), processors=logging_processors(json_output=True), logger_name="task"
).bind()
receive = process_log_messages_from_subprocess((logger,))
next(receive)
for line in sent.splitlines(keepends=True):
    receive.send(line)
printed = forward_to_log((logger, structlog.get_logger("task")), "task.stdout", logging.INFO)
next(printed)
printed.send(b"printed password=hunter2 for jane@example.org\n")
try:
    fail()
except RuntimeError:
    structlog.get_logger("task").exception("in the supervisor")
sys.stderr.write(console.getvalue())
sys.stdout.write(file.getvalue().decode())
