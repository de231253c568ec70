"""Account: organisations, schools, districts, and the households of people."""

from __future__ import annotations

from local.salesforce.fields import address, date, long_text, lookup, number, phone, picklist, text, url
from local.salesforce.metadata import FieldMeta, ObjectMeta

OBJECT = ObjectMeta(
    name="Account",
    label="Account",
    label_plural="Accounts",
    key_prefix="001",
    mergeable=True,
    fields=(
        text("Name", 255, nillable=False, name_field=True),
        picklist(
            "Type",
            "Business",
            "Non-profit",
            "Government",
            "Higher Education",
            "Faith-based",
            "Foundation",
            "Corporate",
            "Community Partner",
            "Other",
            "School",
            "School District",
            "Household",
        ),
        lookup("ParentId", "Account", relationship="Parent", child_relationship_name="ChildAccounts"),
        *address("Billing"),
        phone("Phone"),
        url("Website"),
        picklist("Industry"),
        number("NumberOfEmployees", 8),
        long_text("Description"),
        date("LastActivityDate", createable=False, updateable=False),
        text("School_Code_External_ID__c", 50, external_id=True),
        text("Connector_Account_Name__c", 255),
        text("npe01__SYSTEM_AccountType__c", 100),
        FieldMeta(name="npe01__SYSTEMIsIndividual__c", type="boolean", nillable=False, default=False),
        lookup(
            "npe01__One2OneContact__c",
            "Contact",
            relationship="npe01__One2OneContact__r",
            child_relationship_name="npe01__Organizations__r",
        ),
    ),
)
