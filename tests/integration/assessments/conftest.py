"""A warehouse of its own."""

import pytest

from tests.interventions import database

__all__ = ["database"]


@pytest.fixture
def warehouse_url(database):
    return database
