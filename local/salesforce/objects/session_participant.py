"""Session_Participant__c: a volunteer or a student at a session."""

from __future__ import annotations

from local.salesforce.fields import email, lookup, number, picklist, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="Session_Participant__c",
    label="Session Participant",
    label_plural="Session Participants",
    key_prefix="a0F",
    fields=(
        text("Name", 80, nillable=False, name_field=True, createable=False, updateable=False),
        lookup(
            "Session__c",
            "Session__c",
            relationship="Session__r",
            child_relationship_name="Session_Participants__r",
            cascade_delete=True,
        ),
        lookup("Contact__c", "Contact", relationship="Contact__r", child_relationship_name="Session_Participants__r"),
        picklist("Participant_Type__c", "Volunteer", "Student"),
        picklist("Status__c", "Scheduled", "Attended", "No-Show", "Cancelled"),
        number("Delivery_Hours__c", 5, 2),
        picklist("Age_Group__c"),
        email("Email__c"),
        text("Title__c", 128),
    ),
)
