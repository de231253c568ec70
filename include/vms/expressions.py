"""SQL over staged rows: what `{Field}` in an object module stands for.

Two layers. `cleaned` is a subquery that trims the texts and turns empty ones into null; above it stand the expressions
of the object modules, with each `{Field}` cast to the type of its kind. OFFSET 0 keeps the planner from moving a cast
below the condition that leaves out rows with bad values.

Statements made here hold literals and are run without parameters, so that a % in an expression is only a %.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from psycopg import sql

from include.vms.spec import OLD, Kind, placeholders

if TYPE_CHECKING:
    from include.vms.spec import Field, SyncObject

# What is trimmed, here and in the polars form of the rules: ASCII blanks and the no-break space of spreadsheets.
BLANKS: Final = " \t\n\r\x0b\x0c\u00a0"
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z][A-Za-z0-9_.]*)\}")
_CASTS: Final = {
    Kind.TEXT: "{}",
    Kind.ID: "CASE length({}) WHEN 15 THEN vms.id18({}) ELSE {} END",
    Kind.INTEGER: "{}::numeric::bigint",
    Kind.NUMBER: "{}::numeric",
    Kind.BOOLEAN: "{}::boolean",
    Kind.DATE: "{}::date",
    Kind.TIMESTAMP: "{}::timestamptz",
}

Render = Callable[["Field"], sql.Composable]


# Texts of such a length are what Salesforce writes: looking is cheaper than trimming.
_LENGTHS: Final = {
    Kind.ID: (15, 18),
    Kind.BOOLEAN: (4, 5),
    Kind.DATE: (10,),
    Kind.TIMESTAMP: (24, 28),
}


def cleaned(field: Field, alias: str = "s") -> sql.Composable:
    """The text of a staged field without blanks around it; null when nothing is left."""
    value = sql.Identifier(alias, field.name)
    trimmed = sql.SQL("nullif(btrim({}, {}), '')").format(value, sql.Literal(BLANKS))
    if field.kind not in _LENGTHS:
        return trimmed
    usual = sql.SQL(", ").join(map(sql.Literal, _LENGTHS[field.kind]))
    return sql.SQL("CASE WHEN octet_length({0}) IN ({1}) THEN {0} ELSE {2} END").format(value, usual, trimmed)


def text_of(name: str) -> sql.Composed:
    """The trimmed text of a field, as a column of the cleaned layer."""
    return sql.SQL("c.{}").format(sql.Identifier(name))


def cast(field: Field) -> sql.Composed:
    """The value of a field in the type of its kind; the text must be good."""
    return sql.SQL(_CASTS[field.kind].replace("{}", "{0}")).format(text_of(field.name))


def expression(spec: SyncObject, text: str, render: Render = cast) -> sql.Composed:
    """Fill the `{Field}` places of an object module's expression; `{old.column}` is a column of the stored row `o`."""
    parts: list[sql.Composable] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        name = found[1]
        stored = sql.Identifier("o", name.removeprefix(OLD)) if name.startswith(OLD) else None
        parts += [sql.SQL(text[end : found.start()]), stored or render(spec.by_name[name])]
        end = found.end()
    parts.append(sql.SQL(text[end:]))
    return sql.Composed(parts)


def source(spec: SyncObject, text: str, render: Render = cast) -> sql.Composable:
    """Fill in what a column's `source` says: a field's name, or an expression."""
    return render(spec.by_name[text]) if text in spec.by_name else expression(spec, text, render)


def fields_of(spec: SyncObject, texts: Iterable[str]) -> list[str]:
    """Names of the fields that expressions or sources use, in the order of the query."""
    used = {name for text in texts for name in ([text] if text in spec.by_name else placeholders(text))}
    return [name for name in spec.select if name in used]
