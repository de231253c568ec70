"""Pathway_Participant__c: a person in a programme."""

from __future__ import annotations

from local.salesforce.fields import lookup, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="Pathway_Participant__c",
    label="Pathway Participant",
    label_plural="Pathway Participants",
    key_prefix="a0H",
    fields=(
        text("Name", 80, nillable=False, name_field=True, createable=False, updateable=False),
        lookup("Contact__c", "Contact", relationship="Contact__r", child_relationship_name="Pathway_Participants__r"),
        lookup(
            "Pathway__c",
            "Pathway__c",
            relationship="Pathway__r",
            child_relationship_name="Pathway_Participants__r",
            cascade_delete=True,
        ),
    ),
)
