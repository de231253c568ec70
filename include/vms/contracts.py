"""What the steps of a sync hand to each other: small, plain, JSON-able. The data stay in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from include.operations.errors import InputRejected

if TYPE_CHECKING:
    import psycopg

# Above the records of any object, below what no plan of calls can hold.
MOST_ROWS: Final = 10_000_000
_Named = TypeVar("_Named", bound=StrEnum)
_PARAMS: Final = ("mode", "dry_run", "limit", "since", "accept")


class Connect(Protocol):
    """Opens a connection of one transaction, as `include.connections.warehouse` does."""

    def __call__(self) -> AbstractContextManager[psycopg.Connection]:
        """Return the context manager."""
        ...


class Mode(StrEnum):
    """What a run reads."""

    INCREMENTAL = "incremental"  # what changed since the watermark; everything when there is none
    FULL = "full"  # every row, and every id, so that nothing that is gone stays
    RECORDS = "records"  # the named ids only: replay and repair; moves no watermark


class Accept(StrEnum):
    """What a person can allow a run to publish although it looks wrong."""

    REJECTED_SHARE = "rejected_share"
    MASS_DELETE = "mass_delete"
    SCHEMA_CHANGE = "schema_change"  # a field of another type, or shorter than before


@dataclass(frozen=True)
class Request:
    """What a run was asked to do: the DAG's params, or the CLI's options."""

    mode: Mode = Mode.INCREMENTAL
    dry_run: bool = False
    limit: int | None = None  # rows read at most; moves no watermark
    since: datetime | None = None  # instead of the watermark
    accept: tuple[Accept, ...] = ()
    ids: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Return what the params of a run ask for; of these, Airflow ignores names that it does not know.

        Raises:
            InputRejected: a name or a value that means nothing, or a time with a mode that reads everything.
        """
        if unknown := sorted(set(params) - set(_PARAMS)):
            raise _refused(f"No param is called {', '.join(unknown)}", f"The params are {', '.join(_PARAMS)}.")
        mode = _one_of(Mode, params.get("mode", Mode.INCREMENTAL))
        since = params.get("since")
        if since is not None and mode is Mode.FULL:
            raise _refused("A full run reads everything, `since` would mean nothing", "Leave one of them out.")
        return cls(
            mode=mode,
            dry_run=bool(params.get("dry_run")),
            limit=params.get("limit"),
            since=None if since is None else _moment(since),
            accept=tuple(_one_of(Accept, one) for one in params.get("accept") or ()),
        )

    @property
    def moves_watermark(self) -> bool:
        """Whether the run covers a whole window for good."""
        return self.mode is not Mode.RECORDS and not self.dry_run and self.limit is None


def _moment(text: str) -> datetime:
    wanted = "Give a time with a time zone, such as 2026-01-31T08:00:00Z."
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused("`since` is no ISO-8601 time", wanted) from error
    if moment.tzinfo is None:
        raise _refused("`since` has no time zone", wanted)
    return moment


def _one_of(kind: type[_Named], text: str) -> _Named:
    try:
        return kind(text)
    except ValueError as error:
        raise _refused(f"No {kind.__name__.lower()} is called so", f"Give one of {', '.join(kind)}.") from error


def _refused(what: str, what_to_do: str) -> InputRejected:
    return InputRejected(f"{what}; nothing was read.", what_to_do=what_to_do)


@dataclass
class Manifest:
    """State of one run between its steps; goes through XCom."""

    object: str
    run: str
    epoch: int  # fencing: whoever holds an older one writes nothing
    mode: str
    dry_run: bool = False
    moves_watermark: bool = True
    accept: list[str] = field(default_factory=list)
    window_from: str | None = None  # ISO-8601, UTC; None: from the beginning
    window_to: str | None = None  # exclusive
    api: str = ""  # rest or bulk
    api_reason: str = ""
    read: int = 0  # rows in the staging table
    source_count: int | None = None  # active rows at the source, by COUNT(), as of the extract
    swept: bool = False  # the ids table holds all active ids of the source
    deleted_ids: int = 0  # rows in the deleted table (getDeleted)
    deleted_until: str | None = None  # deletions are known until then; None: not asked
    api_calls: int = 0
    api_used: int | None = None  # of the org's daily calls, as the last reply said
    api_limit: int | None = None
    counts: dict[str, int] = field(default_factory=dict)  # inserted, updated, unchanged, deleted, rejected, pending...
    notes: list[str] = field(default_factory=list)  # e.g. a column that was added
    samples: list[dict[str, Any]] = field(default_factory=list)  # of a dry run, masked

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return it from `to_dict`."""
        return cls(**data)
