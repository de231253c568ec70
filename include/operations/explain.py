"""Any error in two plain sentences for somebody at a terminal: what happened, and what to do about it."""

from __future__ import annotations

from typing import Final, NamedTuple

from include.operations.errors import ErrorClass, PipelineError, classify
from include.operations.scrub import scrub

_LONGEST: Final = 300
_WHAT_TO_DO: Final = {
    ErrorClass.AUTH: "check login and secret in the connection's AIRFLOW_CONN_* variable",
    ErrorClass.RATE_LIMIT: "wait and try again",
    ErrorClass.NETWORK: "check that the server runs and that the connection's AIRFLOW_CONN_* variable names it",
    ErrorClass.DATABASE: "look the code up; `doctor` checks servers and schema",
    ErrorClass.VALIDATION: "correct the input",
    ErrorClass.TIMEOUT: "try again; if it stays slow, look for a lock or a server under load",
    ErrorClass.UNKNOWN: "run it again with --debug and report what it shows",
}


class Explanation(NamedTuple):
    """Both sentences without a full stop; the second may be empty."""

    what: str
    what_to_do: str


def explain(error: Exception) -> Explanation:
    """Explain an error; only the first line of a message, clean of secrets and values."""
    # Told by name, because importing Airflow to know its class would cost a second.
    if type(error).__name__ == "AirflowNotFoundException":
        return Explanation(_first_line(error), "source .local/env after `make up`, or export AIRFLOW_CONN_<ID>")
    if isinstance(error, PipelineError):
        return Explanation(one_line(error.args[0]), one_line(error.what_to_do))
    found = classify(error)
    said = _first_line(error)
    what = f"{found.error_class} {found.code}" + (f": {said}" if said else "")
    return Explanation(what, _WHAT_TO_DO[found.error_class])


def one_line(text: str) -> str:
    """The text on one line, without its full stop."""
    return " ".join(text.split()).rstrip(".")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return scrub(lines[0], limit=_LONGEST).rstrip(" .") if lines else ""
