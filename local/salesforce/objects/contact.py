"""Contact: volunteers, teachers and students."""

from __future__ import annotations

from local.salesforce.metadata import FieldMeta, ObjectMeta

OBJECT = ObjectMeta(
    name="Contact",
    label="Contact",
    label_plural="Contacts",
    key_prefix="003",
    mergeable=True,
    fields=(
        FieldMeta(
            name="AccountId",
            type="reference",
            reference_to=("Account",),
            relationship_name="Account",
            cascade_delete=True,
            child_relationship_name="Contacts",
        ),
        FieldMeta(name="LastName", length=80, nillable=False, compound_field_name="Name"),
        FieldMeta(name="FirstName", length=40, compound_field_name="Name"),
        FieldMeta(name="Name", length=121, nillable=False, name_field=True, createable=False, updateable=False),
        FieldMeta(name="Email", type="email"),
        FieldMeta(name="Contact_Type__c", type="picklist", picklist=("Volunteer", "Teacher", "Student")),
        FieldMeta(name="MailingStreet", type="textarea", length=255, compound_field_name="MailingAddress"),
        FieldMeta(name="MailingCity", length=40, compound_field_name="MailingAddress"),
        FieldMeta(name="MailingAddress", type="address", createable=False, updateable=False),
    ),
)
