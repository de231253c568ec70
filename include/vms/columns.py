"""Short ways to write fields, columns and expressions: the modules of `include/vms/objects/` read like tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.operations.errors import InputRejected
from include.vms.spec import Action, Check, Column, Field, Flag, Kind, Pii, Rule

TIME_ZONE_VARIABLE: Final = "VMS_TIME_ZONE"
_TIME_ZONE: Final = "America/Chicago"
_ZONE_NAME: Final = re.compile(r"[A-Za-z0-9_+/-]+")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def required(name: str, kind: Kind = Kind.TEXT, **more: Any) -> Field:
    """A field without which the record is of no use: rows that lack it go to quarantine."""
    return Field(name, kind, checks=(Check(Rule.REQUIRED),), **more)


def personal(name: str, kind: Kind = Kind.TEXT, **more: Any) -> Field:
    """A field about a person; shown masked only. A value that is not of its kind is dropped and flagged."""
    return Field(name, kind, pii=Pii.PERSONAL, on_bad_kind=Action.FLAG, **more)


def sensitive(name: str, kind: Kind = Kind.TEXT, **more: Any) -> Field:
    """A field that is shown nowhere. A value that is not of its kind is dropped and flagged."""
    return Field(name, kind, pii=Pii.SENSITIVE, on_bad_kind=Action.FLAG, **more)


def optional(name: str, kind: Kind = Kind.TEXT, **more: Any) -> Field:
    """A field whose bad value is dropped and flagged: the record is worth more than the value."""
    return Field(name, kind, on_bad_kind=Action.FLAG, **more)


def email(name: str) -> Field:
    """An e-mail address; a bad one is dropped and flagged."""
    return personal(name, checks=(Check(Rule.EMAIL, Action.FLAG),))


def phone(name: str) -> Field:
    """A phone number; a bad one is dropped and flagged."""
    return personal(name, checks=(Check(Rule.PHONE, Action.FLAG),))


def copy(field: Field, comment: str, *, name: str = "", **more: Any) -> Column:
    """The field as it is, in a column named after it: `MailingCity` gives `mailing_city`."""
    return Column(name or snake(field.name), field.kind, field.name, comment, **more)


def copies(fields: Iterable[Field]) -> tuple[Column, ...]:
    """Each field in a column named after it, which is said by its name."""
    return tuple(copy(one, snake(one.name).replace("_", " ")) for one in fields)


def snake(api_name: str) -> str:
    """Name of a column for a field: `Connector_User_ID__c` gives `connector_user_id`."""
    bare = re.sub(r"^npe?[a-z0-9]*__|__c$", "", api_name)
    return re.sub(r"_+", "_", _WORDS.sub("_", bare)).lower()


def time_zone() -> str:
    """The organisation's time zone, by which a moment has a local date.

    Raises:
        InputRejected: VMS_TIME_ZONE names none.
    """
    name = os.environ.get(TIME_ZONE_VARIABLE, "").strip() or _TIME_ZONE
    try:
        # Beyond the check that there is such a zone: the name becomes part of SQL.
        if _ZONE_NAME.fullmatch(name):
            return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise InputRejected(
        f"{TIME_ZONE_VARIABLE}={name!r} is no time zone",
        what_to_do=f"export {TIME_ZONE_VARIABLE} with an IANA name like {_TIME_ZONE}, or leave it out",
    )


def local_date(moment: str) -> str:
    """Expression: the date of a moment where the organisation is."""
    return f"({moment} AT TIME ZONE '{time_zone()}')::date"


def unknown_label(field: str, known: str, what: str) -> Flag:
    """Flag a label that no mapping knows; `known` is an expression that is null for such a one."""
    return Flag("INVALID_ENUM", field, f"{{{field}}} IS NOT NULL AND {known} IS NULL", f"{what} is not a known one")
