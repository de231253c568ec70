"""One clear line for any error, and what to do about it."""

from __future__ import annotations

from include.operations.errors import ErrorClass, PipelineError, classify

_LONGEST = 300
_WHAT_TO_DO = {
    ErrorClass.AUTH: "check login and secret in the connection's AIRFLOW_CONN_* variable",
    ErrorClass.RATE_LIMIT: "wait and try again",
    ErrorClass.NETWORK: "check that the server runs and that the connection's AIRFLOW_CONN_* variable names it",
    ErrorClass.DATABASE: "look the code up; `doctor` checks servers and schema",
    ErrorClass.VALIDATION: "correct the input",
    ErrorClass.TIMEOUT: "try again; if it stays slow, look for a lock or a server under load",
    ErrorClass.UNKNOWN: "run it again with --debug and report what it shows",
}


class CommandError(Exception):
    """A command cannot do what was asked; the text is one line for a person."""


def explain(error: Exception) -> str:
    """Return the error as one line without a traceback."""
    # Told by name, because importing Airflow to know its class would cost a second.
    if type(error).__name__ == "AirflowNotFoundException":
        return f"{_first_line(error)}. What to do: source .local/env after `make up`, or export AIRFLOW_CONN_<ID>"
    if isinstance(error, PipelineError):
        return f"{_one_line(error.args[0])}. What to do: {_one_line(error.what_to_do)}"
    if isinstance(error, CommandError) or type(error).__name__ == "AirflowApiError":
        return _one_line(str(error))
    found = classify(error)
    said = _first_line(error)
    what = f"{found.error_class} {found.code}" + (f": {said}" if said else "")
    return f"{what}. What to do: {_WHAT_TO_DO[found.error_class]}"


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _first_line(error: Exception) -> str:
    """First line of the message: databases put the offending values into the later ones."""
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST].rstrip(" .") if lines else ""
