"""Bytes of a page into a staging table: header checked, NUL bytes left out, everything else as Salesforce sent it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import InputRejected
from include.vms.salesforce.errors import DownloadIncomplete

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

# More fields than an object can have do not make a longer header.
_LONGEST_HEADER: Final = 200_000
_AGAIN: Final = "Nothing if a later try succeeds: it goes on at this page. If not, tell Salesforce the job's id."


def copy_page(
    conn: psycopg.Connection[Any],
    statement: sql.Composed,
    fields: Sequence[str],
    chunks: Iterable[bytes],
    announced: int | None,
) -> int:
    """Copy one page of CSV in the caller's transaction; returns its rows.

    Args:
        conn: rolled back by the caller when this raises.
        statement: COPY FROM STDIN of CSV with a header row that names `fields`.
        fields: API names in their order.
        chunks: the page.
        announced: rows it should have; None: not known.

    Raises:
        DownloadIncomplete: the page was cut off, or has another number of rows.
        InputRejected: its columns are others than asked for.
    """
    import psycopg

    with conn.cursor() as cursor:
        try:
            with cursor.copy(statement) as copy:
                for chunk in _clean(chunks, fields):
                    copy.write(chunk)
        except (psycopg.errors.BadCopyFileFormat, psycopg.errors.CharacterNotInRepertoire) as error:
            # Cut inside a quoted field, or in a character of several bytes. PostgreSQL quotes the row: not kept.
            raise DownloadIncomplete(
                f"A page of results is no complete CSV (SQLSTATE {error.sqlstate}).", what_to_do=_AGAIN
            ) from None
        rows = cursor.rowcount
    if announced is not None and rows != announced:
        raise DownloadIncomplete(
            f"A page of results has {rows:,} rows where {announced:,} were announced.", what_to_do=_AGAIN
        )
    return rows


def _clean(chunks: Iterable[bytes], fields: Sequence[str]) -> Iterator[bytes]:
    """The page with our own header in front, and without NUL bytes, which PostgreSQL cannot hold."""
    yield ",".join(f'"{name}"' for name in fields).encode() + b"\n"
    head = b""
    rest = iter(chunks)
    for chunk in rest:
        head += chunk
        if b"\n" in head or len(head) > _LONGEST_HEADER:
            break
    line, _, after = head.partition(b"\n")
    if _is_header(line, fields):
        yield after.replace(b"\0", b"")
    else:
        yield head.replace(b"\0", b"")
    for chunk in rest:
        yield chunk.replace(b"\0", b"")


def _is_header(line: bytes, fields: Sequence[str]) -> bool:
    """Whether the first line is the header; of a page without one it is a record, which begins with an id.

    Raises:
        InputRejected: it is a header of other columns.
    """
    if not line:
        return False
    found = next(csv.reader([line.decode("utf-8", "replace").rstrip("\r")]), [])
    if [name.casefold() for name in found] == [name.casefold() for name in fields]:
        return True
    if found and found[0].casefold() == fields[0].casefold():
        differing = sorted({name.casefold() for name in fields} ^ {name.casefold() for name in found})
        raise InputRejected(
            f"The results have other columns than were asked for: {', '.join(differing[:10]) or 'another order'}.",
            what_to_do="Look at the object's fields in Salesforce.",
        )
    return False
