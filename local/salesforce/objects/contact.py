"""Contact: volunteers, teachers, students, and people who are none of these."""

from __future__ import annotations

from local.salesforce.fields import (
    address,
    date,
    email,
    flag,
    formula,
    long_text,
    lookup,
    moment,
    multi_picklist,
    phone,
    picklist,
    text,
    url,
)
from local.salesforce.metadata import ObjectMeta

_NAME = (
    lookup("AccountId", "Account", relationship="Account", child_relationship_name="Contacts", cascade_delete=True),
    text("LastName", 80, nillable=False, compound_field_name="Name"),
    text("FirstName", 40, compound_field_name="Name"),
    picklist("Salutation", "Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.", "Rev.", compound_field_name="Name"),
    text("MiddleName", 40, compound_field_name="Name"),
    text("Suffix", 40, compound_field_name="Name"),
    text("Name", 121, nillable=False, name_field=True, createable=False, updateable=False),
    picklist("Contact_Type__c", "Volunteer", "Teacher", "Student"),
)
_REACH = (
    email("Email"),
    email("npe01__HomeEmail__c"),
    email("npe01__WorkEmail__c"),
    email("npe01__AlternateEmail__c"),
    picklist("npe01__Preferred_Email__c", "Personal", "Work", "Alternate"),
    phone("Phone"),
    phone("HomePhone"),
    phone("MobilePhone"),
    phone("OtherPhone"),
    phone("npe01__WorkPhone__c"),
    picklist("npe01__PreferredPhone__c", "Home", "Work", "Mobile", "Other"),
    flag("DoNotCall"),
    flag("HasOptedOutOfEmail"),
    flag("npsp__Do_Not_Contact__c"),
    moment("EmailBouncedDate"),
    text("EmailBouncedReason", 255),
    *address("Mailing"),
    *address("Other"),
    formula("npe01__Home_Address__c"),
    formula("npe01__Work_Address__c"),
    formula("npe01__Other_Address__c"),
    picklist("npe01__Primary_Address_Type__c", "Home", "Work", "Other"),
    picklist("npe01__Secondary_Address_Type__c", "Home", "Work", "Other"),
)
_PERSON = (
    text("Title", 128),
    text("Department", 80),
    lookup(
        "npsp__Primary_Affiliation__c",
        "Account",
        relationship="npsp__Primary_Affiliation__r",
        child_relationship_name="npsp__Primary_Affiliations__r",
    ),
    date("Birthdate"),
    picklist("Gender__c", "Male", "Female", "Non-Binary", "Genderfluid", "Agender", "Transgender", "Other"),
    picklist("Racial_Ethnic_Background__c"),
    picklist("Age_Group__c", "Under 18", "18-24", "25-34", "35-44", "45-54", "55-64", "65+"),
    picklist("Highest_Level_of_Educational__c"),
    long_text("Description"),
    date("LastActivityDate", createable=False, updateable=False),
)
_VOLUNTEER = (
    long_text("Volunteer_Recruitment_Notes__c"),
    multi_picklist("Volunteer_Skills__c"),
    long_text("Volunteer_Skills_Text__c"),
    multi_picklist("Volunteer_Interests__c"),
    formula("Number_of_Attended_Volunteer_Sessions__c", "double"),
    formula("First_Volunteer_Date__c", "date"),
    formula("Last_Volunteer_Date__c", "date"),
    formula("Last_Activity_Date__c", "date"),
    formula("Last_Non_Internal_Email_Activity__c", "date"),
    date("Last_Email_Message__c"),
    # Text, written by an integration: now and then it holds no date.
    text("Last_Mailchimp_Email_Date__c", 40),
    picklist("Connector_Active_Subscription__c", "ACTIVE", "INACTIVE", "NONE"),
    text("Connector_Active_Subscription_Name__c"),
    text("Connector_Affiliations__c"),
    text("Connector_Industry__c"),
    date("Connector_Joining_Date__c"),
    moment("Connector_Last_Login_Date_Time__c"),
    date("Connector_Last_Update_Date__c"),
    url("Connector_Profile_Link__c"),
    text("Connector_Role__c"),
    text("Connector_SignUp_Role__c"),
    text("Connector_User_ID__c"),
)
_STUDENT = (
    text("Local_Student_ID__c", 50, external_id=True),
    lookup("Class__c", "Class__c", relationship="Class__r", child_relationship_name="Students__r"),
    text("Legacy_Grade__c", 50),
    # A formula over the class's year: every pupil's grade changes in summer, and no SystemModstamp moves.
    formula("Current_Grade__c"),
)

OBJECT = ObjectMeta(
    name="Contact",
    label="Contact",
    label_plural="Contacts",
    key_prefix="003",
    mergeable=True,
    fields=(*_NAME, *_REACH, *_PERSON, *_VOLUNTEER, *_STUDENT),
)
