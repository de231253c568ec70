"""What the organisation knows about its objects and fields."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

FieldType = Literal[
    "id",
    "reference",
    "string",
    "textarea",
    "picklist",
    "multipicklist",
    "email",
    "phone",
    "url",
    "boolean",
    "int",
    "double",
    "currency",
    "percent",
    "date",
    "datetime",
    "address",
    "base64",
]
_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
    "base64": "xsd:base64Binary",
}
NUMBERS = frozenset({"int", "double", "currency", "percent"})
IDS = frozenset({"id", "reference"})
# What Salesforce gives each type when an object's module says nothing.
_LENGTHS = {"id": 18, "reference": 18, "string": 255, "textarea": 32000, "picklist": 255, "multipicklist": 4099}
_LENGTHS |= {"email": 80, "phone": 40, "url": 255}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
# Components of an address field: key in the answer, and the field below its prefix (MailingAddress: Mailing).
ADDRESS_PARTS = {
    "city": "City",
    "country": "Country",
    "geocodeAccuracy": "GeocodeAccuracy",
    "latitude": "Latitude",
    "longitude": "Longitude",
    "postalCode": "PostalCode",
    "state": "State",
    "street": "Street",
}


@dataclass(frozen=True, kw_only=True)
class FieldMeta:
    """One field. `length` counts characters, `precision` and `scale` digits; 0 stands for the type's usual length.

    A reference names its targets in `reference_to`. `cascade_delete` and `child_relationship_name` describe the
    relationship as the parent sees it: a deleted parent takes the record along.
    `compound_field_name` names the field a component belongs to (MailingCity: MailingAddress, FirstName: Name).
    """

    name: str
    type: FieldType = "string"
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    calculated: bool = False
    compound_field_name: str | None = None
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None
    cascade_delete: bool = False
    child_relationship_name: str | None = None
    filterable: bool = True
    picklist: tuple[str, ...] = ()
    restricted_picklist: bool = False
    createable: bool = True
    updateable: bool = True
    default: str | int | float | bool | None = None
    name_field: bool = False
    unique: bool = False
    external_id: bool = False
    deprecated_and_hidden: bool = False

    def __post_init__(self) -> None:
        if _NAME.match(self.name) is None:
            raise ValueError(f"{self.name!r} cannot be a field name")
        if self.type == "reference" and not (self.reference_to and self.relationship_name):
            raise ValueError(f"{self.name}: a reference names its targets and its relationship")

    @property
    def custom(self) -> bool:
        """Whether someone added it to Salesforce's own fields."""
        return self.name.endswith("__c")

    @property
    def soap_type(self) -> str:
        """Type in the SOAP interface, which `describe` shows as well."""
        return _SOAP.get(self.type, "xsd:string")

    @property
    def is_text(self) -> bool:
        """Whether it is compared as text without regard to case."""
        return self.type not in _SOAP

    @property
    def most_characters(self) -> int:
        """Length shown by `describe`; 0 for what is no text."""
        return self.length or _LENGTHS.get(self.type, 0)

    @property
    def is_derived(self) -> bool:
        """Whether it is put together from components when read: it has no column."""
        return self.type == "address"

    @property
    def searchable(self) -> bool:
        """Whether a query may filter and sort by it; long texts never."""
        long_text = self.type == "textarea" and self.most_characters > 255
        return self.filterable and not long_text and self.type not in ("address", "base64")


def _system_fields() -> tuple[FieldMeta, ...]:
    fixed: Mapping[str, Any] = {"nillable": False, "createable": False, "updateable": False}
    return (
        FieldMeta(name="Id", type="id", label="Record ID", **fixed),
        FieldMeta(name="IsDeleted", type="boolean", label="Deleted", **fixed),
        FieldMeta(name="CreatedDate", type="datetime", **fixed),
        FieldMeta(name="LastModifiedDate", type="datetime", **fixed),
        FieldMeta(name="SystemModstamp", type="datetime", **fixed),
    )


SYSTEM_FIELDS = _system_fields()
SYSTEM_NAMES = tuple(f.name for f in SYSTEM_FIELDS)
_MASTER = "MasterRecordId"


@dataclass(frozen=True, kw_only=True)
class ObjectMeta:
    """One object. The system fields, and MasterRecordId of a mergeable one, come by themselves.

    `without` names system fields that the object lacks for its users (some real objects have no SystemModstamp).
    `soft_delete=False`: deleted records are gone at once, there is no IsDeleted, and getDeleted alone knows of them.
    """

    name: str
    label: str
    key_prefix: str
    fields: tuple[FieldMeta, ...]
    label_plural: str = ""
    replicateable: bool = True
    queryable: bool = True
    undeletable: bool = True
    mergeable: bool = False
    bulk_supported: bool = True
    soft_delete: bool = True
    without: frozenset[str] = frozenset()
    _by_name: dict[str, FieldMeta] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if _NAME.match(self.name) is None or len(self.key_prefix) != 3 or not self.key_prefix.isalnum():
            raise ValueError(f"{self.name!r}, {self.key_prefix!r}: not an object's name and prefix")
        if unknown := self.without - set(SYSTEM_NAMES):
            raise ValueError(f"{self.name}: {sorted(unknown)} are no system fields")
        for each in self.all_fields:
            if self._by_name.setdefault(each.name.lower(), each) is not each:
                raise ValueError(f"{self.name}: two fields are called {each.name}")

    @property
    def all_fields(self) -> tuple[FieldMeta, ...]:
        """System fields first."""
        absent = self.without if self.soft_delete else self.without | {"IsDeleted"}
        system = tuple(f for f in SYSTEM_FIELDS if f.name not in absent)
        if self.mergeable and all(f.name != _MASTER for f in self.fields):
            system = (*system, _master_record_id(self.name))
        return (*system, *self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of its table: also the system fields that its users do not see."""
        own = [f.name for f in self.all_fields if not f.is_derived and f.name not in SYSTEM_NAMES]
        return (*SYSTEM_NAMES, *own)

    def find(self, name: str) -> FieldMeta | None:
        """Return a field by its name in any case."""
        return self._by_name.get(name.lower())

    def relationship(self, name: str) -> FieldMeta | None:
        """Return the reference field behind the name used in front of a dot (`Account`, `School__r`)."""
        wanted = name.lower()
        return next((f for f in self.all_fields if (f.relationship_name or "").lower() == wanted), None)

    def components(self, compound: str) -> tuple[FieldMeta, ...]:
        """Return the fields a compound field consists of."""
        return tuple(f for f in self.all_fields if f.compound_field_name == compound and f.name != compound)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return found | {"fields": [asdict(f) for f in self.fields], "without": sorted(self.without)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            **{
                **found,
                "fields": tuple(field_from_json(f) for f in found["fields"]),
                "without": frozenset(found["without"]),
            }
        )


def field_from_json(found: Mapping[str, Any]) -> FieldMeta:
    """Make a field of a JSON object with FieldMeta's names. Raises TypeError or ValueError."""
    lists = {name: tuple(found[name]) for name in ("reference_to", "picklist") if name in found}
    return FieldMeta(**{**found, **lists})


def _master_record_id(name: str) -> FieldMeta:
    return FieldMeta(
        name=_MASTER,
        type="reference",
        reference_to=(name,),
        relationship_name="MasterRecord",
        createable=False,
        updateable=False,
    )


class Catalog:
    """All objects of an organisation, found by their names in any case."""

    def __init__(self, objects: Iterable[ObjectMeta] = ()) -> None:
        self._objects: dict[str, ObjectMeta] = {}
        for each in objects:
            self.put(each)

    def __iter__(self) -> Iterator[ObjectMeta]:
        return iter(tuple(self._objects.values()))

    def find(self, name: str) -> ObjectMeta | None:
        """Return an object, if there is one of that name."""
        return self._objects.get(name.lower())

    def __getitem__(self, name: str) -> ObjectMeta:
        return self._objects[name.lower()]

    def put(self, meta: ObjectMeta) -> None:
        """Add an object, or replace the one of that name."""
        self._objects[meta.name.lower()] = meta

    def of_id(self, record_id: str) -> ObjectMeta | None:
        """Return the object whose records have ids like this one."""
        return next((each for each in self if record_id.startswith(each.key_prefix)), None)

    def children(self, parent: str) -> list[tuple[ObjectMeta, FieldMeta]]:
        """Return the objects that refer to this one, and the field of each that does."""
        return [
            (child, reference)
            for child in self
            for reference in child.all_fields
            if reference.type == "reference" and parent in reference.reference_to and reference.name != _MASTER
        ]


def standard_catalog() -> Catalog:
    """Return the objects of `local.salesforce.objects`: each module there has one in `OBJECT`."""
    from local.salesforce import objects

    modules = (importlib.import_module(f"{objects.__name__}.{m.name}") for m in pkgutil.iter_modules(objects.__path__))
    return Catalog(module.OBJECT for module in modules if hasattr(module, "OBJECT"))
