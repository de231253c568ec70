"""Servers, clients and worlds for these tests."""

from tests.faults.fixtures import make_world, shared_clients, workers, world

__all__ = ["make_world", "shared_clients", "workers", "world"]
