"""Records by their ids into the staging table: replay, repair, and records that may have left an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from include.vms import state
from include.vms.paging import statement
from include.vms.salesforce import csvtext, rest, soql
from include.vms.salesforce.errors import DownloadIncomplete
from include.vms.transfer import copy_page

if TYPE_CHECKING:
    from include.vms.paging import Target
    from include.vms.salesforce.client import Salesforce

# With so many the address stays short enough for all but the widest objects.
_AT_ONCE: Final = 200


def stage_records(client: Salesforce, target: Target, fields: Sequence[str], ids: Iterable[str]) -> int:
    """Read records without the object's filter, deleted ones too; returns how many there were.

    Each batch is committed by itself, fenced.

    Raises:
        InputRejected: something that is no record id.
        DownloadIncomplete: fewer records came than were announced.
    """
    found = 0
    for batch in _batches(client, fields, target.spec.sobject, sorted(set(ids))):
        came = total = 0
        for page in rest.pages(client, soql.select(fields, target.spec.sobject, [f"Id IN {soql.ids(batch)}"])):
            with target.connect() as conn:
                state.fence(conn, target.spec.name, target.epoch)
                found += copy_page(
                    conn,
                    statement(target.table, fields),
                    fields,
                    [csvtext.encode(page.records, fields)],
                    len(page.records),
                )
            came, total = came + len(page.records), page.total
        if came < total:
            # What is not among them would be taken for gone.
            raise DownloadIncomplete(
                f"A query has {total:,} rows, and its pages had {came:,}.",
                what_to_do="Nothing if a later try succeeds, which asks again.",
            )
    return found


def _batches(client: Salesforce, fields: Sequence[str], sobject: str, ids: Iterable[str]) -> Iterator[list[str]]:
    """Ids in portions that fit into one request."""
    rest_of = iter(ids)
    size = _AT_ONCE
    while batch := list(islice(rest_of, size)):
        while len(batch) > 1 and not rest.fits(client, soql.select(fields, sobject, [f"Id IN {soql.ids(batch)}"])):
            half = len(batch) // 2
            yield batch[:half]
            batch, size = batch[half:], max(half, 1)
        yield batch
