"""The world of the interventions' tests, for these, too."""

from tests.interventions import connection, database, world

__all__ = ["connection", "database", "world"]
