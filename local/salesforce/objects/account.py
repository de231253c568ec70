"""Account: organisations, schools, districts and households."""

from __future__ import annotations

from local.salesforce.metadata import FieldMeta, ObjectMeta

OBJECT = ObjectMeta(
    name="Account",
    label="Account",
    label_plural="Accounts",
    key_prefix="001",
    mergeable=True,
    fields=(
        FieldMeta(name="Name", length=255, nillable=False, name_field=True),
        FieldMeta(name="Type", type="picklist"),
        FieldMeta(
            name="ParentId",
            type="reference",
            reference_to=("Account",),
            relationship_name="Parent",
            child_relationship_name="ChildAccounts",
        ),
        FieldMeta(name="Description", type="textarea"),
    ),
)
