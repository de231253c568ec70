"""Task: calls, notes and e-mails logged on a person."""

from __future__ import annotations

from local.salesforce.fields import date, flag, long_text, lookup, picklist, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="Task",
    label="Task",
    label_plural="Tasks",
    key_prefix="00T",
    fields=(
        text("Subject", 255),
        long_text("Description"),
        picklist("Type", "Call", "Email", "Meeting", "Other"),
        picklist("Status", "Not Started", "In Progress", "Completed", nillable=False, default="Not Started"),
        picklist("Priority", "High", "Normal", "Low", nillable=False, default="Normal"),
        date("ActivityDate"),
        flag("IsClosed", createable=False, updateable=False),
        lookup("WhoId", "Contact", relationship="Who", child_relationship_name="Tasks"),
        lookup("WhatId", "Account", "Session__c", "Case", relationship="What", child_relationship_name="Tasks"),
    ),
)
