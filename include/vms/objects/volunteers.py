"""Volunteers: contacts of that type, or of none (vms-objects 5.7)."""

from __future__ import annotations

from include.vms.columns import copies, copy, email, optional, personal, phone
from include.vms.people import PERSON, PERSON_FIELDS, PERSON_FLAGS, addresses, emails, phones
from include.vms.spec import Action, Check, ChildSet, Column, Field, Flag, Kind, Pii, Reference, Rule, SyncObject, Table

_TITLE = personal("Title")
_DEPARTMENT = personal("Department")
_INTERESTS = personal("Volunteer_Interests__c")
_AFFILIATION = Field("npsp__Primary_Affiliation__c", Kind.ID)
_SESSIONS = Field(
    "Number_of_Attended_Volunteer_Sessions__c",
    Kind.INTEGER,
    checks=(Check(Rule.NOT_NEGATIVE, Action.FLAG),),
    on_bad_kind=Action.FLAG,
)
_FIRST = optional("First_Volunteer_Date__c", Kind.DATE)
_LAST = optional("Last_Volunteer_Date__c", Kind.DATE)
_ACTIVITY = optional("Last_Activity_Date__c", Kind.DATE)
_OUTSIDE_EMAIL = optional("Last_Non_Internal_Email_Activity__c", Kind.DATE)
_MAILCHIMP = optional("Last_Mailchimp_Email_Date__c", Kind.DATE)
_CONNECTOR = (
    *(
        personal(f"Connector_{name}__c")
        for name in (
            "Active_Subscription",
            "Active_Subscription_Name",
            "Affiliations",
            "Industry",
            "Profile_Link",
            "Role",
            "SignUp_Role",
            "User_ID",
        )
    ),
    optional("Connector_Joining_Date__c", Kind.DATE),
    optional("Connector_Last_Update_Date__c", Kind.DATE),
    optional("Connector_Last_Login_Date_Time__c", Kind.TIMESTAMP),
)
_REACH = (
    *(email(name) for name in ("Email", "npe01__HomeEmail__c", "npe01__WorkEmail__c", "npe01__AlternateEmail__c")),
    Field("npe01__Preferred_Email__c"),
    *(phone(name) for name in ("Phone", "HomePhone", "MobilePhone", "npe01__WorkPhone__c")),
    Field("npe01__PreferredPhone__c"),
    # Bulk refuses the compound MailingAddress.
    *(personal(f"Mailing{part}") for part in ("Street", "City", "State", "PostalCode", "Country")),
    personal("npe01__Work_Address__c"),
    Field("npe01__Primary_Address_Type__c"),
    Field("npe01__Secondary_Address_Type__c"),
)

# Value, type, whether the preference means it, and its place among those that the preference means.
_EMAILS = """
VALUES
    ({npe01__WorkEmail__c}, 'professional', lower({npe01__Preferred_Email__c}) = 'work', 1),
    ({npe01__HomeEmail__c}, 'personal', lower({npe01__Preferred_Email__c}) = 'personal', 2),
    ({Email}, 'personal', coalesce(lower({npe01__Preferred_Email__c}), 'personal') = 'personal', 3),
    ({npe01__AlternateEmail__c}, 'personal', lower({npe01__Preferred_Email__c}) = 'alternate', 4)
"""
_PHONES = """
VALUES
    ({npe01__WorkPhone__c}, 'professional', lower({npe01__PreferredPhone__c}) = 'work', 1),
    ({Phone}, 'professional', coalesce(lower({npe01__PreferredPhone__c}), 'work') = 'work', 2),
    ({HomePhone}, 'personal', lower({npe01__PreferredPhone__c}) = 'home', 3),
    ({MobilePhone}, 'personal', lower({npe01__PreferredPhone__c}) = 'mobile', 4)
"""
_HAS_HOME = "(coalesce({MailingStreet}, {MailingCity}, {MailingState}, {MailingPostalCode}) IS NOT NULL)"
_ADDRESSES = r"""
SELECT 'personal', btrim(split_part({MailingStreet}, E'\n', 1), E' \r'),
    nullif(btrim(substr({MailingStreet}, strpos({MailingStreet} || E'\n', E'\n') + 1), E' \r\n'), ''),
    {MailingCity}, {MailingState}, {MailingPostalCode}, {MailingCountry},
    lower({npe01__Secondary_Address_Type__c}) IS DISTINCT FROM 'home'
WHERE <has home>
UNION ALL
SELECT 'professional', line1, line2, city, state, zip_code, country,
    coalesce(lower({npe01__Primary_Address_Type__c}) = 'work', false)
    AND lower({npe01__Secondary_Address_Type__c}) IS DISTINCT FROM 'work'
FROM vms.address_parts({npe01__Work_Address__c})
""".replace("<has home>", _HAS_HOME)

OBJECT = SyncObject(
    name="volunteers",
    sobject="Contact",
    description="Volunteers with e-mails, phones, addresses, skills and main affiliation",
    filter_soql="(Contact_Type__c = 'Volunteer' OR Contact_Type__c = null)",
    filter_sql="coalesce(lower({Contact_Type__c}), 'volunteer') = 'volunteer'",
    fields=(
        *PERSON_FIELDS,
        *_REACH,
        _AFFILIATION,
        _TITLE,
        _DEPARTMENT,
        _INTERESTS,
        personal("Volunteer_Skills__c"),
        personal("Volunteer_Skills_Text__c"),
        _SESSIONS,
        _FIRST,
        _LAST,
        _ACTIVITY,
        _OUTSIDE_EMAIL,
        _MAILCHIMP,
        *_CONNECTOR,
    ),
    tables=(
        Table(
            name="volunteer",
            comment="What is known of people as volunteers",
            role_of="person",
            columns=(
                copy(_TITLE, "title at work"),
                copy(_DEPARTMENT, "department at work"),
                copy(_AFFILIATION, "main affiliation, as Salesforce says", name="salesforce_primary_affiliation_id"),
                Column(
                    "organization_id", Kind.ID, "", "main affiliation, once it is there and if it is an organisation"
                ),
                Column("school_id", Kind.ID, "", "main affiliation, once it is there and if it is a school"),
                Column("district_id", Kind.ID, "", "main affiliation, once it is there and if it is a district"),
                copy(_FIRST, "first session", name="first_volunteer_date"),
                copy(_LAST, "last session", name="last_volunteer_date"),
                copy(_ACTIVITY, "last activity", name="last_activity_date"),
                copy(_OUTSIDE_EMAIL, "last e-mail from outside", name="last_non_internal_email_date"),
                copy(_MAILCHIMP, "last e-mail by Mailchimp", name="last_mailchimp_activity_date"),
                Column(
                    "times_volunteered",
                    Kind.INTEGER,
                    "coalesce({Number_of_Attended_Volunteer_Sessions__c}, 0)",
                    "attended sessions; a bad number is 0",
                    nullable=False,
                ),
                copy(_INTERESTS, "interests; a blank leaves what was there", name="interests", keep=True),
                *copies(_CONNECTOR),
            ),
            references=(
                Reference(
                    "salesforce_primary_affiliation_id",
                    (("organization_id", "organization"), ("school_id", "school"), ("district_id", "district")),
                ),
            ),
        ),
        PERSON,
    ),
    children=(
        emails(_EMAILS),
        phones(_PHONES),
        addresses(_ADDRESSES),
        ChildSet(
            name="person_skill",
            parent="person",
            comment="What people can do; vms.skill lists the skills",
            key=("skill",),
            columns=(
                Column("skill", Kind.TEXT, "", "skill, 200 characters at most", nullable=False, pii=Pii.PERSONAL),
            ),
            rows="SELECT skill FROM vms.skills({Volunteer_Skills__c}, {Volunteer_Skills_Text__c}) AS skill",
        ),
    ),
    flags=(
        *PERSON_FLAGS,
        Flag(
            "missing_address",
            "MailingStreet",
            f"NOT {_HAS_HOME} AND {{npe01__Work_Address__c}} IS NULL",
            "there is neither a mailing address nor one at work",
            severity="info",
        ),
        *(
            Flag(
                "truncated_skill",
                field,
                f"length({{{field}}}) > 200 AND vms.has_long_skill({{{field}}}, '{separators}')",
                "a skill has more than 200 characters",
            )
            for field, separators in (("Volunteer_Skills__c", ";"), ("Volunteer_Skills_Text__c", "[;,]"))
        ),
    ),
    after=("districts", "organizations", "schools"),
)
