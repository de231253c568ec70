"""How values may be shown outside their table: as they are, by their shape, or not at all."""

from __future__ import annotations

from typing import Final

from psycopg import sql

from include.vms.spec import Pii

_LONGEST: Final = 200


def shown(value: sql.Composable, pii: Pii) -> sql.Composable:
    """A text as the policy allows it, as SQL; at most 200 characters.

    PERSONAL keeps blanks and punctuation, so that one sees what is wrong with an address or a phone number: letters
    become x, digits 9. SENSITIVE is null.
    """
    short = sql.SQL("left({}, {})").format(value, sql.Literal(_LONGEST))
    if pii is Pii.SENSITIVE:
        return sql.SQL("NULL")
    if pii is Pii.NONE:
        return short
    return sql.SQL("regexp_replace(regexp_replace({}, '[0-9]', '9', 'g'), {}, 'x', 'g')").format(
        short, sql.Literal(r"[^][0-9 \t\n!\"#$%&'()*+,./:;<=>?@\\^_`{|}~-]")
    )
