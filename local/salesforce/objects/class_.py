"""Class__c: a year group of a school."""

from __future__ import annotations

from local.salesforce.fields import lookup, number, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="Class__c",
    label="Class",
    label_plural="Classes",
    key_prefix="a0D",
    fields=(
        text("Name", 80, nillable=False, name_field=True),
        lookup("School__c", "Account", relationship="School__r", child_relationship_name="Classes__r"),
        number("Class_Year_Number__c", 4),
    ),
)
