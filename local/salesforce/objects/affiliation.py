"""npe5__Affiliation__c (Nonprofit Success Pack): a person's tie to an organisation, school or district."""

from __future__ import annotations

from local.salesforce.fields import date, flag, long_text, lookup, picklist, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="npe5__Affiliation__c",
    label="Affiliation",
    label_plural="Affiliations",
    key_prefix="a0C",
    fields=(
        text("Name", 80, nillable=False, name_field=True, createable=False, updateable=False),
        lookup(
            "npe5__Contact__c",
            "Contact",
            relationship="npe5__Contact__r",
            child_relationship_name="npe5__Affiliations__r",
            cascade_delete=True,
        ),
        lookup(
            "npe5__Organization__c",
            "Account",
            relationship="npe5__Organization__r",
            child_relationship_name="npe5__Affiliations__r",
        ),
        text("npe5__Role__c", 255),
        flag("npe5__Primary__c"),
        picklist("npe5__Status__c", "Current", "Former"),
        date("npe5__StartDate__c"),
        date("npe5__EndDate__c"),
        long_text("npe5__Description__c"),
    ),
)
