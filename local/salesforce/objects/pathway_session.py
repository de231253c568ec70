"""Pathway_Session__c: a session that belongs to a programme."""

from __future__ import annotations

from local.salesforce.fields import lookup, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="Pathway_Session__c",
    label="Pathway Session",
    label_plural="Pathway Sessions",
    key_prefix="a0J",
    fields=(
        text("Name", 80, nillable=False, name_field=True, createable=False, updateable=False),
        lookup(
            "Session__c",
            "Session__c",
            relationship="Session__r",
            child_relationship_name="Pathway_Sessions__r",
            cascade_delete=True,
        ),
        lookup(
            "Pathway__c",
            "Pathway__c",
            relationship="Pathway__r",
            child_relationship_name="Pathway_Sessions__r",
            cascade_delete=True,
        ),
    ),
)
