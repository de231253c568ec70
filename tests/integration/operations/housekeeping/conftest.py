"""Worlds of the 5-minute pipeline, whose stream is trimmed here."""

from tests.faults.fixtures import make_world, shared_clients, world

__all__ = ["make_world", "shared_clients", "world"]
