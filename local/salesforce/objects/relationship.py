"""npe4__Relationship__c (Nonprofit Success Pack): how two people know each other."""

from __future__ import annotations

from local.salesforce.fields import lookup, picklist, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="npe4__Relationship__c",
    label="Relationship",
    label_plural="Relationships",
    key_prefix="a0K",
    fields=(
        text("Name", 80, nillable=False, name_field=True, createable=False, updateable=False),
        lookup(
            "npe4__Contact__c",
            "Contact",
            relationship="npe4__Contact__r",
            child_relationship_name="npe4__Relationships__r",
            cascade_delete=True,
        ),
        lookup(
            "npe4__RelatedContact__c",
            "Contact",
            relationship="npe4__RelatedContact__r",
            child_relationship_name="npe4__Relationships1__r",
        ),
        picklist("npe4__Type__c"),
        picklist("npe4__Status__c", "Current", "Former"),
    ),
)
