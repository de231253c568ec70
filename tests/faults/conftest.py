"""Servers, clients and worlds for these tests."""

from tests.faults.fixtures import (
    all_workers,
    impatient,
    make_world,
    own_redis,
    own_world,
    rig,
    shared_clients,
    workers,
    world,
)

__all__ = [
    "all_workers",
    "impatient",
    "make_world",
    "own_redis",
    "own_world",
    "rig",
    "shared_clients",
    "workers",
    "world",
]
