"""Opportunity: a gift."""

from __future__ import annotations

from local.salesforce.fields import date, lookup, picklist, text
from local.salesforce.metadata import FieldMeta, ObjectMeta

OBJECT = ObjectMeta(
    name="Opportunity",
    label="Opportunity",
    label_plural="Opportunities",
    key_prefix="006",
    fields=(
        text("Name", 120, nillable=False, name_field=True),
        lookup(
            "AccountId",
            "Account",
            relationship="Account",
            child_relationship_name="Opportunities",
            cascade_delete=True,
        ),
        FieldMeta(name="Amount", type="currency", precision=18, scale=2),
        picklist("StageName", "Prospecting", "Pledged", "Closed Won", "Closed Lost", nillable=False),
        date("CloseDate", nillable=False),
        lookup(
            "npsp__Primary_Contact__c",
            "Contact",
            relationship="npsp__Primary_Contact__r",
            child_relationship_name="npsp__Opportunities__r",
        ),
    ),
)
