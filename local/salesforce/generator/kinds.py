"""The table of defects: what can be wrong with which records, and where each must end (see `Outcome`).

Numbers in notes are sections of the reference on the objects (schools 5.3, volunteers 5.7, enums 6, flags 9).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from local.salesforce.generator.defects import Change, Kind, Outcome, Value, nowhere, one_of, without
from local.salesforce.generator.words import pick, words

if TYPE_CHECKING:
    from local.salesforce.generator.organisation import Organisation

Q, F, P, K, M, D = (
    Outcome.QUARANTINE, Outcome.FLAG, Outcome.PENDING, Outcome.KEEP, Outcome.MAP, Outcome.DELETED,
)  # fmt: skip
REQUIRED = "MISSING_REQUIRED_FIELD"

HOSTILE_NAMES = (
    "O'; DROP TABLE vms.person; --",
    "Robert'); DELETE FROM Contact WHERE ('1'='1",
    "=cmd|'/C calc'!A0",
    "@SUM(1+1)*cmd",
    "{{ var.value.secret }}",
    "{% for x in y %}",
    "${jndi:ldap://example.org}",
    "<script>alert(1)</script>",
    "\\' OR Name != '\\",
    "%s %(name)s {0} {name}",
    '"quoted", and, commas',
    "Z\u0351\u036f\u0317algo",
    "\u202eright to left",
    "Zo\u00eb \U0001f469\u200d\U0001f3eb Emoji",
)
HOSTILE_NOTES = (
    'She said "call me", twice.\nSecond line, with a comma\r\nthird line\n',
    "\\.\n\\N\n\\copy",
    "line one\n\n\nline four\ttab",
    '""""',
    "'; UPDATE Contact SET Email = null; --",
    "{{ conn.warehouse.password }} {{ macros.datetime }}",
    '=HYPERLINK("http://example.org","click")',
    "+1-816-555-0100",
    "NUL is no letter: \\0 \\x00 \\u0000",
    "a,b;c|d\n\"e\"\n'f'\n--g",
    "Ünïcödé ☃ 漢字 العربية 🎓",
    "SELECT Id FROM Contact WHERE Name LIKE '%' LIMIT 1",
    "x" * 9_000,
)
LITERALS = ("None", "NULL", "NA", "N/A", "nan", "null", "undefined", "#N/A")
BAD_EMAILS = (
    "jane.doe@", "@example.org", "n/a", "jane doe@example.org", "jane@@example.org", "None", "jane@example..org",
)  # fmt: skip
BAD_PHONES = ("ask her husband", "n/a", "None", "816-555-CALL", "----")
BAD_DATES = ("2024-02-30", "14.03.2024", "soon", "None")
BAD_BIRTHDATES = ("0019-03-12", "2999-01-01", "2187-07-04")
LONG_TITLE = "Senior Associate Vice President of Community Partnerships, Workforce Development and Volunteer Engagement"


def _person(rng: Random) -> tuple[str, str]:
    """Return a name that survives being written in capitals and back by the rule of 5.7."""
    while True:
        first, last = words().person(rng)
        if all(restored(name.upper()) == name for name in (first, last)):
            return first, last


def restored(capitals: str) -> str | None:
    """Return a name in capitals as 5.7 wants it, or null for what is not written in capitals."""
    if len(capitals) < 2 or not capitals.isupper():
        return None
    whole = "".join(c.lower() if before.isalpha() else c for before, c in zip(" " + capitals, capitals, strict=False))
    for start in ("Mc", "Mac"):
        if whole.startswith(start) and len(whole) > max(3, len(start)):
            return start + whole[len(start) :].capitalize()
    return whole


def _all_caps(_organisation: Organisation, _index: int, rng: Random) -> Change:
    first, last = _person(rng)
    return {"FirstName": first.upper(), "LastName": last.upper(), "MiddleName": None}


def _as_restored(value: Value) -> Value:
    return restored(str(value))


def _no_address(_organisation: Organisation, _index: int, _rng: Random) -> Change:
    gone = ("MailingStreet", "MailingCity", "MailingState", "MailingPostalCode", "MailingCountry")
    return dict.fromkeys((*gone, "npe01__Work_Address__c", "npe01__Home_Address__c"))


def _padded_email(_organisation: Organisation, index: int, rng: Random) -> Change:
    first = words().first_name(rng)
    return {"Email": f" Padded.{index}.{len(first)}@EXAMPLE.org "}


def _tidied(value: Value) -> Value:
    return str(value).strip().lower()


def _long_skill(_organisation: Organisation, _index: int, rng: Random) -> Change:
    return {"Volunteer_Skills_Text__c": f"{pick(rng, words().skills)}; " + "knows a great deal about " * 12}


def _merged(organisation: Organisation, _index: int, rng: Random) -> Change:
    master = pick(rng, organisation.sound("volunteer"))
    return {"IsDeleted": True, "MasterRecordId": organisation.record_id("volunteer", master)}


def _deleted(_organisation: Organisation, _index: int, _rng: Random) -> Change:
    return {"IsDeleted": True}


def _under_organization(organisation: Organisation, _index: int, rng: Random) -> Change:
    return {"ParentId": organisation.record_id("organization", pick(rng, organisation.sound("organization")))}


def _tie(organisation: Organisation, contact: str, account: str, rng: Random) -> Change:
    return {
        "npe5__Contact__c": organisation.record_id(contact, pick(rng, organisation.sound(contact))),
        "npe5__Organization__c": organisation.record_id(account, pick(rng, organisation.sound(account))),
    }


def _to_school(organisation: Organisation, _index: int, rng: Random) -> Change:
    return _tie(organisation, "volunteer", "school", rng)


def _to_district(organisation: Organisation, _index: int, rng: Random) -> Change:
    return _tie(organisation, "teacher", "district", rng)


def _second_tie(organisation: Organisation, _index: int, rng: Random) -> Change:
    """The same person and organisation once more, in another time."""
    contact, account = organisation.pair(pick(rng, organisation.sound_volunteer_ties))
    return {
        "npe5__Contact__c": contact,
        "npe5__Organization__c": account,
        "npe5__Status__c": "Former",
        "npe5__Primary__c": False,
        "npe5__StartDate__c": "2009-09-01",
        "npe5__EndDate__c": "2012-05-31",
    }


PEOPLE = tuple(
    Kind(f"{who}_without_{field.lower()}", who, field, Q, without(field), REQUIRED, note="5.5-5.7")
    for who in ("volunteer", "teacher", "student")
    for field in ("FirstName", "LastName")
)
ACCOUNTS = (
    Kind("district_without_name", "district", "Name", Q, one_of("Name", None, "   "), REQUIRED, note="5.2, 10"),
    Kind(
        "district_code_too_long", "district", "School_Code_External_ID__c", K,
        one_of("School_Code_External_ID__c", "MO-0048-JACKSON-COUNTY-CENTRAL"), note="20 characters at C",
    ),
    Kind("school_without_name", "school", "Name", Q, one_of("Name", None, "\u00a0"), REQUIRED, note="5.3, 10"),
    Kind("school_of_no_district", "school", "ParentId", P, nowhere("ParentId", "001"), note="5.3"),
    Kind(
        "school_under_an_organization", "school", "ParentId", P, _under_organization,
        note="the parent is no district",
    ),
    Kind("organization_without_name", "organization", "Name", Q, without("Name"), REQUIRED, note="5.1"),
    Kind(
        "organization_without_type", "organization", "Type", F, without("Type"), "null_org_type", share=0.258,
        overlay=True, expected=lambda _: "Other", note="983 of 3,811 in real life; stored as Other",
    ),
    Kind(
        "organization_called_none", "organization", "Name", K, one_of("Name", *LITERALS), overlay=True, share=0.001,
        note="a text, not an absent value",
    ),
    Kind(
        "organization_with_a_hostile_name", "organization", "Name", K, one_of("Name", *HOSTILE_NAMES), overlay=True,
        share=0.004, note="text, never code",
    ),
    Kind(
        "organization_with_a_long_description", "organization", "Description", K,
        one_of("Description", "A charity.\n" * 400), overlay=True, share=0.01, note="255 characters at C",
    ),
    Kind("organization_deleted", "organization", "IsDeleted", D, _deleted, share=0.002),
)  # fmt: skip
VOLUNTEERS = (
    Kind(
        "name_in_capitals", "volunteer", "LastName", F, _all_caps, "all_caps_name", share=0.1, overlay=True,
        expected=_as_restored, note="18,225 in real life",
    ),
    Kind("surname_none", "volunteer", "LastName", K, one_of("LastName", "None", "Null", "Nan"), overlay=True),
    Kind("hostile_name", "volunteer", "LastName", K, one_of("LastName", *HOSTILE_NAMES), overlay=True, share=0.002),
    Kind(
        "hostile_notes", "volunteer", "Volunteer_Recruitment_Notes__c", K,
        one_of("Volunteer_Recruitment_Notes__c", *HOSTILE_NOTES), overlay=True, share=0.004,
    ),
    Kind("hostile_description", "volunteer", "Description", K, one_of("Description", *HOSTILE_NOTES), overlay=True),
    Kind("notes_none", "volunteer", "Description", K, one_of("Description", *LITERALS), overlay=True, share=0.002),
    Kind("title_none", "volunteer", "Title", K, one_of("Title", "NA", "None", "N/A"), overlay=True, share=0.001),
    Kind("long_title", "volunteer", "Title", K, one_of("Title", LONG_TITLE), overlay=True, note="50 characters at C"),
    Kind(
        "long_department", "volunteer", "Department", K, one_of("Department", LONG_TITLE[:80]), overlay=True,
        note="50 characters at C",
    ),
    Kind(
        "no_address", "volunteer", "MailingStreet", F, _no_address, "missing_address", share=0.3, overlay=True,
        note="4,587 of 5,582 addresses in real life",
    ),
    Kind(
        "email_with_blanks_and_capitals", "volunteer", "Email", M, _padded_email, share=0.002, overlay=True,
        expected=_tidied,
    ),
    Kind(
        "bad_email", "volunteer", "Email", F, one_of("Email", *BAD_EMAILS), "INVALID_EMAIL", share=0.002,
        overlay=True,
    ),
    Kind(
        "bad_work_email", "volunteer", "npe01__WorkEmail__c", F, one_of("npe01__WorkEmail__c", *BAD_EMAILS),
        "INVALID_EMAIL", overlay=True,
    ),
    Kind("bad_phone", "volunteer", "MobilePhone", F, one_of("MobilePhone", *BAD_PHONES), "INVALID_PHONE", overlay=True),
    Kind(
        "bad_birthdate", "volunteer", "Birthdate", F, one_of("Birthdate", *BAD_BIRTHDATES), "INVALID_DATE",
        overlay=True,
    ),
    Kind(
        "unknown_gender", "volunteer", "Gender__c", F, one_of("Gender__c", "Unspecified", "see notes"), "INVALID_ENUM",
        overlay=True, note="6.6",
    ),
    Kind(
        "gender_with_a_hyphen", "volunteer", "Gender__c", M, one_of("Gender__c", "Non-Binary", "non-binary"),
        overlay=True, expected=lambda _: "non_binary", note="6.6: lost at C",
    ),
    Kind(
        "unknown_education", "volunteer", "Highest_Level_of_Educational__c", F,
        one_of("Highest_Level_of_Educational__c", "Hogwarts", "8th grade"), "INVALID_ENUM", overlay=True,
        expected=lambda _: "UNKNOWN", note="6.5",
    ),
    Kind(
        "unknown_age_group", "volunteer", "Age_Group__c", F, one_of("Age_Group__c", "30ish", "100+"), "INVALID_ENUM",
        overlay=True, expected=lambda _: "UNKNOWN", note="6.8",
    ),
    Kind(
        "unknown_race", "volunteer", "Racial_Ethnic_Background__c", F,
        one_of("Racial_Ethnic_Background__c", "Martian", "see file"), "INVALID_ENUM", overlay=True,
        expected=lambda _: "unknown", note="6.7",
    ),
    Kind(
        "race_with_stray_text", "volunteer", "Racial_Ethnic_Background__c", M,
        one_of("Racial_Ethnic_Background__c", "AggregateResult White/Caucasian/European American"), overlay=True,
        expected=lambda _: "white", note="6.7",
    ),
    Kind(
        "long_skill", "volunteer", "Volunteer_Skills_Text__c", F, _long_skill, "truncated_skill", overlay=True,
        note="6.8",
    ),
    Kind(
        "negative_sessions", "volunteer", "Number_of_Attended_Volunteer_Sessions__c", F,
        one_of("Number_of_Attended_Volunteer_Sessions__c", -3), "OUT_OF_RANGE", overlay=True, expected=lambda _: 0,
        note="5.7",
    ),
    Kind(
        "bad_mailchimp_date", "volunteer", "Last_Mailchimp_Email_Date__c", F,
        one_of("Last_Mailchimp_Email_Date__c", *BAD_DATES), "INVALID_DATE", overlay=True,
    ),
    Kind(
        "affiliated_to_nowhere", "volunteer", "npsp__Primary_Affiliation__c", P,
        nowhere("npsp__Primary_Affiliation__c", "001"),
    ),
    Kind("volunteer_deleted", "volunteer", "IsDeleted", D, _deleted, share=0.004),
    Kind("volunteer_merged", "volunteer", "MasterRecordId", Outcome.ALIAS, _merged, share=0.002),
)  # fmt: skip
TEACHERS = (
    Kind(
        "teacher_of_no_school", "teacher", "npsp__Primary_Affiliation__c", P,
        nowhere("npsp__Primary_Affiliation__c", "001"),
    ),
    Kind("teacher_with_bad_email", "teacher", "Email", F, one_of("Email", *BAD_EMAILS), "INVALID_EMAIL", overlay=True),
    Kind("teacher_long_department", "teacher", "Department", K, one_of("Department", LONG_TITLE[:80]), overlay=True),
)  # fmt: skip
STUDENTS = (
    Kind(
        "student_of_no_school", "student", "npsp__Primary_Affiliation__c", P,
        nowhere("npsp__Primary_Affiliation__c", "001"),
    ),
    Kind("student_of_no_class", "student", "Class__c", P, nowhere("Class__c", "a0D"), share=0.001),
    Kind(
        "grade_out_of_range", "student", "Current_Grade__c", M,
        one_of("Current_Grade__c", "13.0", "nan", "None", "-1.0"), overlay=True, expected=lambda _: None, note="5.6",
    ),
    Kind(
        "student_gender_na", "student", "Gender__c", M, one_of("Gender__c", "NA"), overlay=True,
        expected=lambda _: "prefer_not_to_say", note="5.6",
    ),
    Kind(
        "student_email_none", "student", "Email", F, one_of("Email", "None"), "INVALID_EMAIL", overlay=True,
        note="TD-033",
    ),
    Kind(
        "student_birthdate", "student", "Birthdate", F, one_of("Birthdate", *BAD_BIRTHDATES), "INVALID_DATE",
        overlay=True,
    ),
    Kind("student_deleted", "student", "IsDeleted", D, _deleted, share=0.002),
)  # fmt: skip
CLASSES = (
    Kind(
        "class_without_year", "class", "Class_Year_Number__c", Q, without("Class_Year_Number__c"), REQUIRED,
        note="5.4",
    ),
    Kind("class_without_school", "class", "School__c", Q, without("School__c"), REQUIRED, note="5.4"),
    Kind("class_of_no_school", "class", "School__c", P, nowhere("School__c", "001"), note="5.4"),
)  # fmt: skip
AFFILIATIONS = (
    Kind("affiliation_of_nobody", "affiliation", "npe5__Contact__c", Q, without("npe5__Contact__c"), REQUIRED),
    Kind(
        "affiliation_to_nothing", "affiliation", "npe5__Organization__c", Q, without("npe5__Organization__c"),
        REQUIRED,
    ),
    Kind("affiliation_of_no_contact", "affiliation", "npe5__Contact__c", P, nowhere("npe5__Contact__c", "003")),
    Kind(
        "affiliation_to_no_account", "affiliation", "npe5__Organization__c", P,
        nowhere("npe5__Organization__c", "001"),
    ),
    Kind("affiliation_to_school", "affiliation", "npe5__Organization__c", K, _to_school, share=0.02, note="5.8"),
    Kind("affiliation_to_district", "affiliation", "npe5__Organization__c", K, _to_district, share=0.01, note="5.8"),
    Kind(
        "affiliation_twice", "affiliation", "npe5__Organization__c", K, _second_tie, share=0.02,
        note="5.8: both stay; C keeps the last one only",
    ),
    Kind(
        "affiliation_status_past", "affiliation", "npe5__Status__c", M, one_of("npe5__Status__c", "FORMER", "past"),
        overlay=True, share=0.01, expected=lambda _: "Past",
    ),
    Kind(
        "affiliation_status_unknown", "affiliation", "npe5__Status__c", K, one_of("npe5__Status__c", "Alumna"),
        overlay=True,
    ),
    Kind(
        "affiliation_hostile_role", "affiliation", "npe5__Role__c", K, one_of("npe5__Role__c", *HOSTILE_NAMES),
        overlay=True, share=0.01,
    ),
    Kind("affiliation_deleted", "affiliation", "IsDeleted", D, _deleted, share=0.02),
)  # fmt: skip
SESSIONS = (
    Kind("session_without_start", "session", "Start_Date_and_Time__c", Q, without("Start_Date_and_Time__c"), REQUIRED),
    Kind("session_of_no_school", "session", "School__c", P, nowhere("School__c", "001")),
    Kind(
        "session_type_unknown", "session", "Session_Type__c", F, one_of("Session_Type__c", "Career  Speaker", "Zoom"),
        "INVALID_ENUM", overlay=True, expected=lambda _: "classroom_activity", note="6.1",
    ),
    Kind(
        "session_weather", "session", "Cancellation_Reason__c", M,
        one_of("Cancellation_Reason__c", "Inclement Weather Cancellation"), overlay=True,
        expected=lambda _: "WEATHER", note="6.3",
    ),
    Kind("session_hostile_name", "session", "Name", K, one_of("Name", *HOSTILE_NAMES), overlay=True, share=0.004),
    Kind("session_deleted", "session", "IsDeleted", D, _deleted, share=0.004),
    Kind(
        "participant_of_no_contact", "volunteer_participant", "Contact__c", P, nowhere("Contact__c", "003"),
        "unmatched_sf_participation", share=0.0135, note="537 of 20,180 in real life, in both ways",
    ),
    Kind(
        "participant_of_no_session", "volunteer_participant", "Session__c", P, nowhere("Session__c", "a0E"),
        "unmatched_sf_participation", share=0.0131,
    ),
    Kind("pupil_of_no_session", "student_participant", "Session__c", P, nowhere("Session__c", "a0E"), share=0.002),
    Kind("task_of_no_contact", "task", "WhoId", P, nowhere("WhoId", "003"), "unmatched_sf_history", share=0.002),
    Kind(
        "hostile_task", "task", "Description", K, one_of("Description", *HOSTILE_NOTES), overlay=True, share=0.01,
    ),
    Kind("email_of_no_contact", "email", "RelatedToId", P, nowhere("RelatedToId", "003"), "unmatched_sf_history"),
)  # fmt: skip
KINDS: tuple[Kind, ...] = (
    *PEOPLE, *ACCOUNTS, *VOLUNTEERS, *TEACHERS, *STUDENTS, *CLASSES, *AFFILIATIONS, *SESSIONS,
)  # fmt: skip
