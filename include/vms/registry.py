"""The syncs there are: every module of `include/vms/objects/` declares one as `OBJECT`; a new file is a new sync."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain

from include.vms import objects as package
from include.vms.spec import Column, SyncObject


@cache
def objects() -> dict[str, SyncObject]:
    """Every sync by name, parents before children (`after`).

    Raises:
        TypeError: a module declares no OBJECT.
        ValueError: file and sync have different names, `after` names nobody or goes round in a circle, or two declare
            the same table in different ways.
    """
    modules = [importlib.import_module(f"{package.__name__}.{name}") for _, name, _ in _modules()]
    found: list[SyncObject] = []
    for module in modules:
        declared = getattr(module, "OBJECT", None)
        if not isinstance(declared, SyncObject):
            raise TypeError(f"{module.__name__} declares no OBJECT of type SyncObject")
        if declared.name != module.__name__.rpartition(".")[2]:
            raise ValueError(f"{module.__name__} declares the sync {declared.name}: file and sync have one name")
        found.append(declared)
    return ordered(found)


def get(name: str) -> SyncObject:
    """Return one sync.

    Raises:
        KeyError: there is none of this name; the message lists those there are.
    """
    known = objects()
    if name not in known:
        raise KeyError(f"no sync is called {name!r}; there are {', '.join(known)}")
    return known[name]


def ordered(syncs: Iterable[SyncObject]) -> dict[str, SyncObject]:
    """Syncs by name, parents before children, otherwise by name.

    Raises:
        ValueError: see `objects`.
    """
    by_name = {one.name: one for one in sorted(syncs, key=lambda one: one.name)}
    for one in by_name.values():
        if unknown := sorted(set(one.after) - by_name.keys()):
            raise ValueError(f"{one.name} comes after {', '.join(unknown)}, which no module declares")
    _agree(by_name.values())
    sorter = TopologicalSorter({one.name: sorted(one.after) for one in by_name.values()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ValueError(f"syncs wait for each other: {' -> '.join(error.args[1])}") from None
    result: list[str] = []
    while sorter.is_active():
        # Level by level and by name: the order does not depend on the order of the files.
        ready = sorted(sorter.get_ready())
        result += ready
        sorter.done(*ready)
    return {name: by_name[name] for name in result}


def _modules() -> Iterable[pkgutil.ModuleInfo]:
    return sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name)


def _agree(syncs: Iterable[SyncObject]) -> None:
    """Refuse two declarations of one table that differ, and a table that is not shared by those who declare it."""
    columns: dict[tuple[str, str], tuple[str, Column]] = {}
    owners: dict[str, str] = {}
    for one in syncs:
        for table in one.tables:
            first = owners.setdefault(table.name, one.name)
            if first != one.name and not table.shared:
                raise ValueError(f"{first} and {one.name} both declare the table {table.name}, which is not shared")
        declared = chain(
            ((table.name, column) for table in one.tables for column in table.columns),
            ((child.name, column) for child in one.children for column in child.columns),
        )
        for table_name, column in declared:
            other, same = columns.setdefault((table_name, column.name), (one.name, column))
            if (same.kind, same.nullable, same.comment) != (column.kind, column.nullable, column.comment):
                raise ValueError(f"{other} and {one.name} declare {table_name}.{column.name} in different ways")
