"""School districts: accounts of that type (vms-objects 5.2)."""

from __future__ import annotations

from include.vms.columns import copy, required
from include.vms.spec import ChildSet, Column, Field, Kind, SyncObject, Table

_NAME = required("Name")
_CODE = Field("School_Code_External_ID__c")

OBJECT = SyncObject(
    name="districts",
    sobject="Account",
    description="School districts and the names they are also known by",
    filter_soql="Type = 'School District'",
    # SOQL compares texts without regard to case.
    filter_sql="lower({Type}) = 'school district'",
    fields=(_NAME, Field("Type"), _CODE),
    tables=(
        Table(
            name="district",
            comment="School districts",
            columns=(
                copy(_NAME, "name of the district", nullable=False),
                copy(_CODE, "code of the district at the state", name="district_code"),
            ),
        ),
    ),
    children=(
        ChildSet(
            name="district_alias",
            parent="district",
            comment="Other names of districts; vms.resolve_district finds a district by them",
            key=("alias",),
            columns=(
                Column("alias", Kind.TEXT, "", "other name", nullable=False),
                Column("is_auto_generated", Kind.BOOLEAN, "", "made by the sync; false: by a person", nullable=False),
            ),
            rows="SELECT legacy.alias, true FROM vms.legacy_district_alias AS legacy WHERE legacy.district = {Name}",
            owned_where="t.is_auto_generated",
        ),
    ),
)
