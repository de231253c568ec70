"""The person model: what every kind of contact (volunteer, teacher, student) declares alike.

A contact is one row of `vms.person`, whatever its type; what only volunteers have is in `vms.volunteer`, a role of that
person. A contact that changes its type keeps its person, with e-mails, phones and addresses (vms-objects 4.1, 15).
"""

from __future__ import annotations

from typing import Final

from include.vms.columns import local_date, optional, personal, required, sensitive, unknown_label
from include.vms.spec import ChildSet, Column, Field, Flag, Kind, Pii, Table

# The parts of a name that are read, and the columns that hold them.
_NAMES: Final = {"FirstName": "first_name", "MiddleName": "middle_name", "LastName": "last_name"}
_EDUCATION: Final = "vms.education_level({Highest_Level_of_Educational__c})"
_AGE_GROUP: Final = "vms.age_group({Age_Group__c})"
_RACE: Final = "vms.race_ethnicity({Racial_Ethnic_Background__c})"
_GENDER: Final = "vms.gender({Gender__c})"
_BIRTHDATE: Final = f"vms.birthdate({{Birthdate}}, {local_date('{SystemModstamp}')})"

PERSON_FIELDS: Final = (
    Field("Contact_Type__c"),
    Field("AccountId", Kind.ID),
    required("FirstName", pii=Pii.PERSONAL),
    personal("MiddleName"),
    required("LastName", pii=Pii.PERSONAL),
    personal("Description"),
    personal("Volunteer_Recruitment_Notes__c"),
    personal("Age_Group__c"),
    personal("Highest_Level_of_Educational__c"),
    sensitive("Birthdate", Kind.DATE),
    sensitive("Gender__c"),
    sensitive("Racial_Ethnic_Background__c"),
    optional("DoNotCall", Kind.BOOLEAN),
    optional("npsp__Do_Not_Contact__c", Kind.BOOLEAN),
    optional("HasOptedOutOfEmail", Kind.BOOLEAN),
    optional("EmailBouncedDate", Kind.TIMESTAMP),
    optional("Last_Email_Message__c", Kind.DATE),
)


def _yes(name: str, field: str, comment: str) -> Column:
    return Column(name, Kind.BOOLEAN, f"coalesce({{{field}}}, false)", comment, nullable=False)


def _name(field: str, comment: str) -> Column:
    return Column(
        _NAMES[field],
        Kind.TEXT,
        f"vms.title_case_name({{{field}}})",
        f"{comment}; one in capitals only is written as names are",
        nullable=field == "MiddleName",
        pii=Pii.PERSONAL,
    )


PERSON: Final = Table(
    name="person",
    comment="People: every contact once, whatever its type; the roles (volunteer) have tables of their own",
    shared=True,
    columns=(
        Column("contact_type", Kind.TEXT, "Contact_Type__c", "type of the contact at its last sync"),
        Column("salesforce_account_id", Kind.ID, "AccountId", "account of the contact (household or organisation)"),
        _name("FirstName", "first name"),
        _name("MiddleName", "middle name"),
        _name("LastName", "surname"),
        Column("description", Kind.TEXT, "Description", "description"),
        Column("notes", Kind.TEXT, "Volunteer_Recruitment_Notes__c", "notes on recruitment"),
        Column(
            "age_group",
            Kind.TEXT,
            f"CASE WHEN {{Age_Group__c}} IS NULL THEN coalesce({{old.age_group}}, 'UNKNOWN') "
            f"ELSE coalesce({_AGE_GROUP}, 'UNKNOWN') END",
            "UNDER_18, AGE_18_24 ... AGE_65_PLUS or UNKNOWN; a blank one leaves what was there",
            nullable=False,
            pii=Pii.PERSONAL,
        ),
        Column(
            "education_level",
            Kind.TEXT,
            f"CASE WHEN {{Highest_Level_of_Educational__c}} IS NULL THEN coalesce({{old.education_level}}, 'UNKNOWN') "
            f"ELSE coalesce({_EDUCATION}, 'UNKNOWN') END",
            "HIGH_SCHOOL, SOME_COLLEGE ... or UNKNOWN; a blank one leaves what was there",
            nullable=False,
            pii=Pii.PERSONAL,
        ),
        Column("birthdate", Kind.DATE, _BIRTHDATE, "birth date, if it is between 1900 and the record's last change"),
        Column("gender", Kind.TEXT, _GENDER, "one of eight; a blank or unknown one leaves what was there", keep=True),
        Column(
            "race_ethnicity", Kind.TEXT, f"coalesce({_RACE}, 'unknown')", "one of thirteen, or unknown", nullable=False
        ),
        _yes("do_not_call", "DoNotCall", "wants no calls"),
        _yes("do_not_contact", "npsp__Do_Not_Contact__c", "wants no contact at all"),
        _yes("email_opt_out", "HasOptedOutOfEmail", "wants no e-mails"),
        Column("email_bounced_at", Kind.TIMESTAMP, "EmailBouncedDate", "when an e-mail came back"),
        Column(
            "email_bounced_on",
            Kind.DATE,
            local_date("{EmailBouncedDate}"),
            "the same as a date where the organisation is",
        ),
        Column("last_email_date", Kind.DATE, "Last_Email_Message__c", "last e-mail"),
    ),
)

PERSON_FLAGS: Final = (
    *(
        Flag("all_caps_name", field, f"vms.is_all_caps({{{field}}})", "the name is in capitals only", severity="info")
        for field in _NAMES
    ),
    Flag(
        "INVALID_DATE",
        "Birthdate",
        f"{{Birthdate}} IS NOT NULL AND {_BIRTHDATE} IS NULL",
        "the birth date is before 1900 or after the last change of the record",
    ),
    unknown_label("Gender__c", _GENDER, "the gender"),
    unknown_label("Age_Group__c", _AGE_GROUP, "the age group"),
    unknown_label("Highest_Level_of_Educational__c", _EDUCATION, "the education"),
    unknown_label("Racial_Ethnic_Background__c", _RACE, "the race or ethnicity"),
)


def emails(body: str) -> ChildSet:
    """A person's e-mails; `body` is a SELECT of address, type, whether it is the preferred one, and a rank.

    An address is there once, of the preferred ones only the first is primary.
    """
    return ChildSet(
        name="person_email",
        parent="person",
        comment="E-mail addresses of people",
        key=("email",),
        columns=(
            Column("email", Kind.TEXT, "", "address, in small letters", nullable=False, pii=Pii.PERSONAL),
            Column("type", Kind.TEXT, "", "personal or professional", nullable=False),
            Column("is_primary", Kind.BOOLEAN, "", "the one to use; a person has one at most", nullable=False),
        ),
        rows=_once("lower(value)", body),
    )


def phones(body: str) -> ChildSet:
    """A person's phones; `body` as for `emails`. Two that differ in blanks, dots and the like are one."""
    return ChildSet(
        name="person_phone",
        parent="person",
        comment="Phone numbers of people",
        key=("number",),
        columns=(
            Column("number", Kind.TEXT, "", "number, as it was written", nullable=False, pii=Pii.PERSONAL),
            Column("type", Kind.TEXT, "", "personal or professional", nullable=False),
            Column("is_primary", Kind.BOOLEAN, "", "the one to use; a person has one at most", nullable=False),
        ),
        rows=_once("value", body, same="regexp_replace(value, '[^0-9]', '', 'g')"),
    )


def _once(value: str, body: str, *, same: str = "") -> str:
    """Each value once, the preferred one of the lowest place as the primary one."""
    return _ONCE.replace("<same>", same or value).replace("<value>", value).replace("<body>", body)


_ONCE: Final = """
SELECT DISTINCT ON (<same>) <value>, type, is_primary
FROM (
    SELECT *, coalesce(place = min(place) FILTER (WHERE preferred AND value IS NOT NULL) OVER (), false) AS is_primary
    FROM (<body>) AS given (value, type, preferred, place)
) AS ranked
WHERE value IS NOT NULL
ORDER BY <same>, is_primary DESC, place
"""


def addresses(body: str) -> ChildSet:
    """A person's addresses, one of a type; `body` is a SELECT of the columns below, without empty addresses."""
    lines = {
        "address_line1": "street",
        "address_line2": "further lines of the street",
        "city": "city",
        "state": "state",
        "zip_code": "postal code",
        "country": "country",
    }
    return ChildSet(
        name="person_address",
        parent="person",
        comment="Postal addresses of people",
        key=("type",),
        columns=(
            Column("type", Kind.TEXT, "", "personal or professional", nullable=False),
            *(Column(name, Kind.TEXT, "", comment, pii=Pii.PERSONAL) for name, comment in lines.items()),
            Column("is_primary", Kind.BOOLEAN, "", "main one of its type", nullable=False),
        ),
        rows=body,
    )
