"""Runs that go wrong, and the processes they go wrong in."""

from tests.faults.fixtures import all_workers, workers

__all__ = ["all_workers", "workers"]
