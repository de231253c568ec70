"""Schools: accounts of that type, under the account of their district (vms-objects 5.3)."""

from __future__ import annotations

from include.vms.columns import copy, required
from include.vms.spec import ChildSet, Column, Field, Kind, Reference, SyncObject, Table

_NAME = required("Name")
_CONNECTOR_NAME = Field("Connector_Account_Name__c")
_CODE = Field("School_Code_External_ID__c")
_PARENT = Field("ParentId", Kind.ID)

OBJECT = SyncObject(
    name="schools",
    sobject="Account",
    description="Schools with level, code, district, and the names they are also known by",
    filter_soql="Type = 'School'",
    filter_sql="lower({Type}) = 'school'",
    fields=(_NAME, Field("Type"), _PARENT, _CONNECTOR_NAME, _CODE),
    tables=(
        Table(
            name="school",
            comment="Schools",
            columns=(
                copy(_NAME, "name of the school", nullable=False),
                copy(_CONNECTOR_NAME, "name that the connector platform uses", name="normalized_name"),
                copy(_CODE, "code of the school at the state", name="school_code"),
                Column(
                    "level",
                    Kind.TEXT,
                    "vms.school_level({Name})",
                    "Elementary, Middle, High or Other, by whole words of the name",
                    nullable=False,
                ),
                copy(_PARENT, "district, as Salesforce says", name="salesforce_district_id"),
                Column("district_id", Kind.ID, "", "district, once it is there"),
            ),
            references=(Reference("salesforce_district_id", (("district_id", "district"),)),),
        ),
    ),
    children=(
        ChildSet(
            name="school_alias",
            parent="school",
            comment="Other names of schools",
            key=("alias",),
            columns=(
                Column("alias", Kind.TEXT, "", "other name", nullable=False),
                Column("is_auto_generated", Kind.BOOLEAN, "", "made by the sync; false: by a person", nullable=False),
            ),
            rows=(
                "SELECT {Connector_Account_Name__c}, true "
                "WHERE lower({Connector_Account_Name__c}) IS DISTINCT FROM lower({Name})"
            ),
            owned_where="t.is_auto_generated",
        ),
    ),
    after=("districts",),
)
