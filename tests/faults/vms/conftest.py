"""The warehouse of the sync's tests."""

from tests.integration.vms.conftest import warehouse

__all__ = ["warehouse"]
