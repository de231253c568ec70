"""Progress of a long command on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from include.operations.words import counted

_PLAIN_EVERY_S = 5.0

Update = Callable[[int, int], None]


@contextmanager
def progress(label: str, total_bytes: int | None) -> Iterator[Update]:
    """Yield a function to call with (rows done, bytes read); `total_bytes` None: nobody knows how much comes."""
    if sys.stderr.isatty():
        with _bar(label, total_bytes) as update:
            yield update
    else:
        yield _plain(label, total_bytes)


@contextmanager
def _bar(label: str, total_bytes: int | None) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total_bytes, rows=0)
        yield lambda rows, read: bar.update(task, completed=read, rows=rows)


def _plain(label: str, total_bytes: int | None) -> Update:
    said = time.monotonic()

    def update(rows: int, read: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _PLAIN_EVERY_S:
            said = time.monotonic()
            share = f" ({read / total_bytes:.0%})" if total_bytes else ""
            print(f"{label}: {counted(rows, 'row')}{share}", file=sys.stderr, flush=True)

    return update
