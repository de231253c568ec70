"""Short ways to declare fields; the modules of `local.salesforce.objects` read like a table with them."""

from __future__ import annotations

from typing import Any

from local.salesforce.metadata import ADDRESS_PARTS, FieldMeta

_LONG_FORMULA = 1300


def text(name: str, length: int = 255, **more: Any) -> FieldMeta:
    """One line of text."""
    return FieldMeta(name=name, type="string", length=length, **more)


def long_text(name: str, length: int = 32_000, **more: Any) -> FieldMeta:
    """Several lines of text; above 255 characters no query filters by it."""
    return FieldMeta(name=name, type="textarea", length=length, **more)


def email(name: str, **more: Any) -> FieldMeta:
    """An e-mail address."""
    return FieldMeta(name=name, type="email", length=80, **more)


def phone(name: str, **more: Any) -> FieldMeta:
    """A phone number, in whatever way people write it."""
    return FieldMeta(name=name, type="phone", length=40, **more)


def url(name: str, **more: Any) -> FieldMeta:
    """A web address."""
    return FieldMeta(name=name, type="url", length=255, **more)


def date(name: str, **more: Any) -> FieldMeta:
    """A day."""
    return FieldMeta(name=name, type="date", **more)


def moment(name: str, **more: Any) -> FieldMeta:
    """A day and a time, UTC."""
    return FieldMeta(name=name, type="datetime", **more)


def flag(name: str, **more: Any) -> FieldMeta:
    """A checkbox: never null, false unless set."""
    return FieldMeta(name=name, type="boolean", nillable=False, default=False, **more)


def number(name: str, precision: int = 18, scale: int = 0, **more: Any) -> FieldMeta:
    """A number with that many digits in all, and behind the point."""
    return FieldMeta(name=name, type="double", precision=precision, scale=scale, **more)


def picklist(name: str, *values: str, **more: Any) -> FieldMeta:
    """One of some values. As by default in Salesforce, records may hold others too (imports, retired values)."""
    return FieldMeta(name=name, type="picklist", length=255, picklist=values, **more)


def multi_picklist(name: str, *values: str, **more: Any) -> FieldMeta:
    """Any of some values, joined by semicolons."""
    return FieldMeta(name=name, type="multipicklist", length=4099, picklist=values, **more)


def lookup(name: str, *targets: str, relationship: str, **more: Any) -> FieldMeta:
    """A reference to a record of one of the target objects; `relationship` stands before the dot in a query."""
    return FieldMeta(name=name, type="reference", reference_to=targets, relationship_name=relationship, **more)


def formula(name: str, kind: str = "string", **more: Any) -> FieldMeta:
    """A formula or roll-up: calculated when read, so it changes without moving SystemModstamp."""
    length = {"length": _LONG_FORMULA} if kind == "string" else {}
    digits = {"precision": 18} if kind == "double" else {}
    found: dict[str, Any] = {**length, **digits, **more}
    return FieldMeta(name=name, type=kind, calculated=True, createable=False, updateable=False, **found)  # type: ignore[arg-type]


def address(prefix: str) -> tuple[FieldMeta, ...]:
    """A compound address and its components: `Mailing` gives MailingAddress, MailingStreet, MailingCity ..."""
    whole = f"{prefix}Address"
    lengths = {"Street": 255, "City": 40, "State": 80, "PostalCode": 20, "Country": 80}
    parts: list[FieldMeta] = []
    for part in ADDRESS_PARTS.values():
        name = prefix + part
        if part in ("Latitude", "Longitude"):
            parts.append(number(name, 18, 15, compound_field_name=whole))
        elif part == "GeocodeAccuracy":
            parts.append(picklist(name, "Address", "Street", "Zip", "City", "Unknown", compound_field_name=whole))
        elif part == "Street":
            parts.append(long_text(name, lengths[part], compound_field_name=whole))
        else:
            parts.append(text(name, lengths[part], compound_field_name=whole))
    return (*parts, FieldMeta(name=whole, type="address", createable=False, updateable=False))
