"""Case: a request that people write about; e-mails refer to it."""

from __future__ import annotations

from local.salesforce.fields import long_text, lookup, picklist, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="Case",
    label="Case",
    label_plural="Cases",
    key_prefix="500",
    mergeable=True,
    fields=(
        text("CaseNumber", 30, nillable=False, name_field=True, createable=False, updateable=False),
        lookup("ContactId", "Contact", relationship="Contact", child_relationship_name="Cases"),
        lookup("AccountId", "Account", relationship="Account", child_relationship_name="Cases"),
        text("Subject", 255),
        long_text("Description"),
        picklist("Status", "New", "Working", "Closed", default="New"),
        picklist("Origin", "Email", "Phone", "Web"),
    ),
)
