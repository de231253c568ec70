"""A warehouse, a graph and calendars for these tests, and the command line."""

from tests.cli_runner import cli
from tests.interventions import connection, database, world

__all__ = ["cli", "connection", "database", "world"]
