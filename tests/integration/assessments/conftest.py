"""A warehouse of its own."""

import pytest

from tests.interventions import database, migrated

__all__ = ["database", "migrated"]


@pytest.fixture
def warehouse_url(database):
    return database
