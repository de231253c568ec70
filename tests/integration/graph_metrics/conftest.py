"""Servers, clients and worlds for these tests."""

from tests.faults.fixtures import all_workers, make_world, shared_clients, workers, world
from tests.faults.graph_metrics.places import metrics_warehouse, place

__all__ = ["all_workers", "make_world", "metrics_warehouse", "place", "shared_clients", "workers", "world"]
