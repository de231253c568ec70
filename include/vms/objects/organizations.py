"""Organisations: accounts that are no household, school or district (vms-objects 5.1)."""

from __future__ import annotations

from include.vms.columns import copies, copy, optional, required
from include.vms.spec import ChildSet, Column, Field, Flag, Kind, SyncObject, Table

_NAME = required("Name")
_DESCRIPTION = Field("Description")
_PARENT = Field("ParentId", Kind.ID)
_BILLING = tuple(Field(f"Billing{part}") for part in ("Street", "City", "State", "PostalCode", "Country"))
_LAST_ACTIVITY = optional("LastActivityDate", Kind.DATE)

OBJECT = SyncObject(
    name="organizations",
    sobject="Account",
    description="Organisations that volunteers come from",
    # Whether NOT IN keeps accounts without a type is said nowhere; a quarter of them has none, and they belong here.
    filter_soql="(Type = null OR Type NOT IN ('Household', 'School District', 'School'))",
    filter_sql="coalesce(lower({Type}), '') NOT IN ('household', 'school district', 'school')",
    fields=(_NAME, Field("Type"), _DESCRIPTION, _PARENT, *_BILLING, _LAST_ACTIVITY),
    tables=(
        Table(
            name="organization",
            comment="Organisations: companies, charities, authorities",
            columns=(
                copy(_NAME, "name of the organisation", nullable=False),
                Column(
                    "type",
                    Kind.TEXT,
                    "coalesce({Type}, 'Other')",
                    "type; Other when Salesforce has none",
                    nullable=False,
                ),
                copy(_DESCRIPTION, "description"),
                copy(_PARENT, "account above it, as Salesforce says", name="parent_salesforce_id"),
                *copies(_BILLING),
                copy(_LAST_ACTIVITY, "last activity; an empty one leaves what was there", keep=True),
            ),
        ),
    ),
    children=(
        ChildSet(
            name="organization_alias",
            parent="organization",
            comment="Other names of organisations",
            key=("alias",),
            columns=(
                Column("alias", Kind.TEXT, "", "other name", nullable=False),
                Column("is_auto_generated", Kind.BOOLEAN, "", "made by the sync; false: by a person", nullable=False),
            ),
            rows="SELECT vms.without_legal_form({Name}), true WHERE vms.without_legal_form({Name}) <> {Name}",
            owned_where="t.is_auto_generated",
        ),
    ),
    flags=(Flag("null_org_type", "Type", "{Type} IS NULL", "the account has no type", severity="info"),),
)
