"""REST: what is asked before a sync in one call, pages of a query, deleted ids, limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from include.operations.errors import InputRejected
from include.vms.salesforce import soql
from include.vms.salesforce.client import LONGEST_URL
from include.vms.salesforce.errors import SalesforceFailed, Unreachable

if TYPE_CHECKING:
    from include.vms.salesforce.client import Salesforce

# The first that the object has is what changes are found by.
CURSORS: Final = ("SystemModstamp", "LastModifiedDate", "CreatedDate", "LoginTime")
_OK: Final = 200
# An org without the resource, or a user who may not use it.
_NO_COMPOSITE: Final = frozenset({400, 403, 404, 405})


@dataclass(frozen=True)
class Describe:
    """What Salesforce says of an object."""

    raw: Mapping[str, Any] = field(repr=False)

    @cached_property
    def fields(self) -> dict[str, Mapping[str, Any]]:
        """Its fields by API name."""
        return {one["name"]: one for one in self.raw.get("fields", ())}

    @cached_property
    def cursor(self) -> str | None:
        """Field by which changes are found; None: the object has none, so every read is a full one."""
        return next((name for name in CURSORS if name in self.fields), None)

    @cached_property
    def hash(self) -> str:
        """Of everything about the fields that a sync depends on."""
        names = ("type", "length", "precision", "scale", "nillable", "calculated", "referenceTo")
        known = {name: [one.get(key) for key in names] for name, one in sorted(self.fields.items())}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]

    def has(self, name: str) -> bool:
        """Whether the object has a field."""
        return name in self.fields


@dataclass(frozen=True)
class Page:
    """Some records of a query."""

    records: list[dict[str, Any]]
    total: int
    next_path: str | None  # None: this was the last


@dataclass(frozen=True)
class Deleted:
    """What getDeleted told.

    Attributes:
        rows: id and time of deletion.
        covered_until: what was changed before has become visible; before the begin of the oldest open transaction.
        complete: whether the log reaches back to where we asked from.
    """

    rows: list[tuple[str, str]]
    covered_until: datetime
    complete: bool


@dataclass
class Survey:
    """Answers to the questions before a sync; an answer that failed is the error."""

    describe: Describe
    active: int | None = None
    expected: int | None = None
    page: Page | SalesforceFailed | None = None
    deleted: Deleted | SalesforceFailed | None = None


@dataclass(frozen=True)
class Questions:
    """What is asked before a sync; None: not asked.

    Args:
        sobject: API name.
        query: first page of a queryAll.
        active: counts the rows that are not deleted.
        expected: counts the rows that will be read, deleted ones too.
        deleted: from, to.
    """

    sobject: str
    query: str | None = None
    active: str | None = None
    expected: str | None = None
    deleted: tuple[datetime, datetime] | None = None


def survey(client: Salesforce, asked: Questions) -> Survey:
    """Ask everything in one call, which counts as one; in several when the org refuses that.

    Raises:
        SalesforceFailed: the object cannot be described, or a count failed.
    """
    paths = _paths(client, asked)
    try:
        replies = _composite(client, paths)
    except SalesforceFailed as error:
        if error.status not in _NO_COMPOSITE or error.error_code == "REQUEST_LIMIT_EXCEEDED":
            raise
        replies = {name: _single(client, path) for name, path in paths.items()}
    found = Survey(Describe(_must(replies["describe"])))
    if "active" in replies:
        found.active = int(_must(replies["active"])["totalSize"])
    if "expected" in replies:
        found.expected = int(_must(replies["expected"])["totalSize"])
    if "query" in replies:
        reply = replies["query"]
        found.page = reply if isinstance(reply, SalesforceFailed) else read_page(reply)
    if "deleted" in replies and asked.deleted is not None:
        reply = replies["deleted"]
        found.deleted = reply if isinstance(reply, SalesforceFailed) else _deleted(reply, asked.deleted[0])
    return found


def _paths(client: Salesforce, asked: Questions) -> dict[str, str]:
    base = f"{client.root}/sobjects/{soql.name(asked.sobject)}"
    paths = {"describe": f"{base}/describe"}
    if asked.active is not None:
        paths["active"] = f"{client.root}/query?{urlencode({'q': asked.active})}"
    if asked.expected is not None:
        paths["expected"] = f"{client.root}/queryAll?{urlencode({'q': asked.expected})}"
    if asked.query is not None:
        paths["query"] = f"{client.root}/queryAll?{urlencode({'q': asked.query})}"
    if asked.deleted is not None:
        start, end = (one.strftime("%Y-%m-%dT%H:%M:%S+00:00") for one in asked.deleted)
        paths["deleted"] = f"{base}/deleted/?{urlencode({'start': start, 'end': end})}"
    return paths


def _composite(client: Salesforce, paths: Mapping[str, str]) -> dict[str, Any]:
    """`composite` counts as one call, where each part of `composite/batch` counts."""
    parts = [{"method": "GET", "url": path, "referenceId": name} for name, path in paths.items()]
    reply = client.post(f"{client.root}/composite", {"allOrNone": False, "compositeRequest": parts}, repeat=True)
    found: dict[str, Any] = {}
    for one in reply["compositeResponse"]:
        name, status, body = one["referenceId"], one["httpStatusCode"], one["body"]
        headers = one.get("httpHeaders") or {}
        found[name] = body if status == _OK else SalesforceFailed(f"{name} of composite", status, body, headers)
    if missing := paths.keys() - found.keys():
        raise Unreachable(f"the composite reply lacks {', '.join(sorted(missing))}")
    return found


def _single(client: Salesforce, path: str) -> Any:
    try:
        return client.get(path)
    except SalesforceFailed as error:
        return error


def _must(reply: Any) -> Any:
    if isinstance(reply, SalesforceFailed):
        raise reply
    return reply


def fits(client: Salesforce, query: str) -> bool:
    """Whether a query is short enough for the address of a GET."""
    return len(client.root) + len(urlencode({"q": query})) < LONGEST_URL


def first_page(client: Salesforce, query: str, *, deleted_too: bool = True) -> Page:
    """Return the first page of a query.

    Args:
        client: the session.
        query: SOQL.
        deleted_too: deleted rows as well, by queryAll.
    """
    if not fits(client, query):
        raise InputRejected(
            f"A query of {len(query):,} characters is too long for REST.",
            what_to_do="Select fewer fields, or let the object use Bulk.",
        )
    return read_page(client.get(f"{client.root}/{'queryAll' if deleted_too else 'query'}", {"q": query}))


def next_page(client: Salesforce, path: str) -> Page:
    """Return a later page; the cursor behind it lives two days."""
    return read_page(client.get(path))


def pages(client: Salesforce, query: str, *, deleted_too: bool = True) -> Iterator[Page]:
    """Return all pages of a query."""
    page = first_page(client, query, deleted_too=deleted_too)
    yield page
    while page.next_path is not None:
        page = next_page(client, page.next_path)
        yield page


def read_page(reply: Any) -> Page:
    """Read the reply to a query."""
    try:
        return Page(reply["records"], int(reply["totalSize"]), None if reply["done"] else str(reply["nextRecordsUrl"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable("The reply to a query has not the form of one") from error


def describe(client: Salesforce, sobject: str) -> Describe:
    """Describe an object."""
    return Describe(client.get(f"{client.root}/sobjects/{soql.name(sobject)}/describe"))


def limits(client: Salesforce) -> Any:
    """Return the org's limits."""
    return client.get(f"{client.root}/limits")


def _deleted(reply: Any, start: datetime) -> Deleted:
    try:
        rows = [(str(one["id"]), str(one["deletedDate"])) for one in reply["deletedRecords"]]
        earliest = datetime.fromisoformat(reply["earliestDateAvailable"])
        return Deleted(rows, datetime.fromisoformat(reply["latestDateCovered"]), complete=earliest <= start)
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable("The reply to getDeleted has not the form of one") from error
