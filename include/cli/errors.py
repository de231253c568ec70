"""One clear line for any error, and what to do about it."""

from __future__ import annotations

from include.operations import explain as explaining
from include.operations.errors import InputRejected, PipelineError


class CommandError(Exception):
    """A command cannot do what was asked; the text is one line for a person."""


def explain(error: Exception) -> str:
    """Return the error as one line without a traceback."""
    # The API client's errors say themselves what to do.
    if isinstance(error, CommandError) or type(error).__name__ == "AirflowApiError":
        return explaining.one_line(str(error))
    what, what_to_do = explaining.explain(error)
    # The tables of the runbooks go by it; that of every refused input says nothing.
    if isinstance(error, PipelineError) and error.code != InputRejected.code:
        what += f" ({error.code})"
    return f"{what}. What to do: {what_to_do}"
