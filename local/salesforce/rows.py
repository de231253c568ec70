"""Rows of a page as the wire might bring them: doubled, missing, with strange values. For Bulk CSV and for REST."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from local.salesforce.behaviours import ROWS, Step

Row = dict[str, Any]
_FAR = "2999-12-31T23:59:59.000"
_MODSTAMP = "SystemModstamp"


@dataclass
class Page:
    """Rows, and how many of them the page says it has."""

    rows: list[Row]
    counted: int
    header: bool = True  # whether the CSV's first line names the columns


def concerns_rows(steps: Iterable[Step]) -> bool:
    """Whether any step needs the rows one by one."""
    return any(step.kind in ROWS for step in steps)


def edit(steps: Iterable[Step], rows: Sequence[Row], previous: Sequence[Row]) -> Page:
    """Return the page that is sent instead; `previous` are the rows before it."""
    page = Page([dict(row) for row in rows], len(rows))
    for step in steps:
        if step.kind == "duplicate_rows":
            doubled = [dict(row) for row in previous[-step.rows :]]
            page.rows[:0] = doubled
            page.counted += len(doubled)
        elif step.kind == "short_rows":
            del page.rows[max(len(page.rows) - step.rows, 0) :]
        elif step.kind == "no_header_row":
            page.header = False
        elif step.kind == "ties":
            _tie(page.rows)
        elif page.rows:
            _change(step, page.rows[step.row % len(page.rows)])
    return page


def _change(step: Step, row: Row) -> None:
    if step.kind == "alter":
        row[_name(row, step.field)] = step.value
    elif step.kind == "nul":
        name = _name(row, step.field)
        text = str(row[name] or "")
        row[name] = f"{text[:1]}\0{text[1:]}"
    elif step.kind == "future_modstamp":
        name = _name(row, _MODSTAMP)
        zone = str(row[name] or "Z")[len(_FAR) :] or "Z"
        row[name] = step.value or _FAR + zone


def _tie(rows: Sequence[Row]) -> None:
    for row in rows:
        name = _name(row, _MODSTAMP)
        row[name] = rows[0][name]


def _name(row: Row, wanted: str) -> str:
    """Return the name as this page spells it. Raises ValueError when the query did not ask for the field."""
    for name in row:
        if name.lower() == wanted.lower():
            return name
    raise ValueError(f"the page has no field {wanted}")
