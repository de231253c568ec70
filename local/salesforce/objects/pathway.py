"""Pathway__c: a programme of several sessions."""

from __future__ import annotations

from local.salesforce.fields import date, lookup, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="Pathway__c",
    label="Pathway",
    label_plural="Pathways",
    key_prefix="a0G",
    fields=(
        text("Name", 80, nillable=False, name_field=True),
        # What docs/adding-an-object.md declares; the reference has the name alone.
        lookup("School__c", "Account", relationship="School__r", child_relationship_name="Pathways__r"),
        date("Begin__c"),
    ),
)
