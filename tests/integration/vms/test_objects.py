"""What the object modules make of records, by the rules of the reference (vms-objects 5.1-5.4, 5.7, 5.8)."""

from datetime import UTC, date, datetime

import pytest

from include.vms import registry
from tests.integration.vms.harness import record_id, stamp

pytestmark = pytest.mark.servers

PERSON, ACCOUNT, OTHER = record_id("003", 1), record_id("001", 1), record_id("001", 2)


def volunteer(**fields):
    return {"Id": PERSON, "FirstName": "Ana", "LastName": "Silva", "Contact_Type__c": "Volunteer", **fields}


def load(warehouse, name, *rows):
    return warehouse.load(registry.get(name), *rows)


def one(warehouse, table, *columns):
    (row,) = warehouse.table(table, *columns)
    return row if len(columns) > 1 else row[0]


def flags(warehouse):
    return {
        (row[0], row[1])
        for row in warehouse.rows("SELECT issue_type, field FROM vms.data_quality_flag WHERE status = 'open'")
    }


def rejected(warehouse):
    return {
        (record, reason["code"], reason["field"])
        for record, reasons in warehouse.rows(
            "SELECT record_key, reasons FROM vms.quarantine WHERE resolved_at IS NULL"
        )
        for reason in reasons
    }


# --- accounts --------------------------------------------------------------------------------------------------


def test_an_account_is_landed_by_its_type(warehouse):
    """5.1-5.3: each of the three syncs takes its own, however the type is spelled; households are nobody's."""
    kinds = ["School", "school", "School District", "Household", "Business", None]
    rows = [{"Id": record_id("001", n), "Name": f"A{n}", "Type": kind} for n, kind in enumerate(kinds)]
    for name in ("districts", "schools", "organizations"):
        load(warehouse, name, *rows)
    assert [row[0] for row in warehouse.table("school", "name")] == ["A0", "A1"]
    assert [row[0] for row in warehouse.table("district", "name")] == ["A2"]
    assert warehouse.table("organization", "name", "type") == [("A4", "Business"), ("A5", "Other")]
    assert flags(warehouse) == {("null_org_type", "Type")}


def test_a_school(warehouse):
    load(
        warehouse,
        "schools",
        {
            "Id": ACCOUNT,
            "Type": "School",
            "Name": " Lee Jr. High ",
            "ParentId": OTHER,
            "Connector_Account_Name__c": "Lee JH",
            "School_Code_External_ID__c": "0048-1",
        },
    )
    columns = ("salesforce_id", "name", "normalized_name", "school_code", "level", "salesforce_district_id")
    assert one(warehouse, "school", *columns) == (ACCOUNT, "Lee Jr. High", "Lee JH", "0048-1", "Middle", OTHER)
    assert warehouse.table("school_alias", "parent_id", "alias") == [(ACCOUNT, "Lee JH")]


def test_an_alias_that_a_person_has_added_stays(warehouse):
    school = {"Id": ACCOUNT, "Type": "School", "Name": "Lee", "Connector_Account_Name__c": "Lee JH"}
    load(warehouse, "schools", school)
    warehouse.run(f"INSERT INTO vms.school_alias VALUES ('{ACCOUNT}', 'General Lee', false)")
    load(warehouse, "schools", {**school, "Connector_Account_Name__c": "LEE", "SystemModstamp": stamp(1)})
    assert warehouse.table("school_alias", "alias") == [("General Lee",)]


def test_old_names_of_a_district_become_its_aliases(warehouse):
    load(
        warehouse, "districts", {"Id": ACCOUNT, "Type": "School District", "Name": "Kansas City Kansas Public Schools"}
    )
    assert warehouse.table("district_alias", "alias", "is_auto_generated") == [("KCKPS", True)]
    assert warehouse.rows("SELECT vms.resolve_district('kckps')") == [(ACCOUNT,)]


def test_an_organization_keeps_its_last_activity(warehouse):
    organization = {"Id": ACCOUNT, "Type": "Business", "Name": "Burns LLC", "LastActivityDate": "2026-02-01"}
    load(warehouse, "organizations", organization)
    later = {"LastActivityDate": None, "BillingCity": "Olathe", "SystemModstamp": stamp(1)}
    load(warehouse, "organizations", organization | later)
    columns = ("name", "type", "billing_city", "last_activity_date")
    assert one(warehouse, "organization", *columns) == ("Burns LLC", "Business", "Olathe", date(2026, 2, 1))
    assert warehouse.table("organization_alias", "alias") == [("Burns",)]


def test_a_class_without_what_it_needs_is_refused(warehouse):
    good = {"Id": record_id("a0D", 0), "Name": "9A", "School__c": ACCOUNT, "Class_Year_Number__c": "2026.0"}
    needed = ["Name", "School__c", "Class_Year_Number__c"]
    bad = [{**good, "Id": record_id("a0D", 1 + place), field: " "} for place, field in enumerate(needed)]
    others = [{**good, "Id": record_id("a0D", 10 + place)} for place in range(20)]
    load(warehouse, "classes", good, *bad, *others)
    assert rejected(warehouse) == {
        (record_id("a0D", 1 + place), "MISSING_REQUIRED_FIELD", field) for place, field in enumerate(needed)
    }
    assert warehouse.table("class", "salesforce_id", "class_year")[0] == (good["Id"], 2026)
    assert len(warehouse.table("class", "salesforce_id")) == 21


def test_ids_of_15_characters_get_their_checksum(warehouse):
    given = {"Id": "a0D0000000aBcDe", "Name": "9A", "School__c": "0010000000aBcDe", "Class_Year_Number__c": "2026"}
    load(warehouse, "classes", given)
    ends = warehouse.rows("SELECT vms.id18(%s::text), vms.id18(%s::text)", given["Id"], given["School__c"])
    assert warehouse.table("class", "salesforce_id", "school_salesforce_id") == ends
    assert [len(end) for end in ends[0]] == [18, 18]


# --- people ----------------------------------------------------------------------------------------------------


def test_a_volunteer_is_a_person_with_a_role(warehouse):
    load(
        warehouse,
        "volunteers",
        volunteer(
            MiddleName="B.",
            AccountId=OTHER,
            Title="Director",
            Department="None",
            npsp__Primary_Affiliation__c=ACCOUNT,
            Gender__c="Non-Binary",
            Racial_Ethnic_Background__c="White/Caucasian/European American",
            Age_Group__c="65+",
            Highest_Level_of_Educational__c="Master's Degree",
            Birthdate="1950-05-06",
            Number_of_Attended_Volunteer_Sessions__c="7.0",
            DoNotCall="TRUE",
            HasOptedOutOfEmail="false",
            # An evening in Kansas City, the next day in UTC.
            EmailBouncedDate="2026-02-02T03:30:00.000Z",
            Last_Mailchimp_Email_Date__c="2026-01-31",
            Volunteer_Interests__c="Art;Music",
            Connector_Role__c="Educator",
        ),
    )
    assert one(
        warehouse, "person", "salesforce_id", "contact_type", "first_name", "middle_name", "last_name",
        "salesforce_account_id", "gender", "race_ethnicity", "age_group", "education_level", "birthdate",
        "do_not_call", "do_not_contact", "email_opt_out", "email_bounced_at", "email_bounced_on",
    ) == (
        PERSON, "Volunteer", "Ana", "B.", "Silva", OTHER, "non_binary", "white", "AGE_65_PLUS", "MASTERS",
        date(1950, 5, 6), True, False, False, datetime(2026, 2, 2, 3, 30, tzinfo=UTC), date(2026, 2, 1),
    )  # fmt: skip
    assert one(
        warehouse, "volunteer", "salesforce_id", "title", "department", "salesforce_primary_affiliation_id",
        "times_volunteered", "interests", "last_mailchimp_activity_date", "connector_role",
    ) == (PERSON, "Director", "None", ACCOUNT, 7, "Art;Music", date(2026, 1, 31), "Educator")  # fmt: skip


def test_what_a_blank_leaves_and_what_it_empties(warehouse):
    full = volunteer(
        Gender__c="Female",
        Age_Group__c="18-24",
        Highest_Level_of_Educational__c="GED",
        Volunteer_Interests__c="Art",
        Racial_Ethnic_Background__c="Asian",
        Title="Boss",
        Birthdate="2000-01-01",
    )
    load(warehouse, "volunteers", full)
    load(warehouse, "volunteers", volunteer(SystemModstamp=stamp(1)))
    columns = ("gender", "age_group", "education_level", "race_ethnicity", "birthdate")
    assert one(warehouse, "person", *columns) == ("female", "AGE_18_24", "HIGH_SCHOOL", "unknown", None)
    assert one(warehouse, "volunteer", "interests", "title") == ("Art", None)
    unknown = volunteer(Gender__c="see notes", Age_Group__c="30ish", Highest_Level_of_Educational__c="Hogwarts")
    load(warehouse, "volunteers", {**unknown, "Racial_Ethnic_Background__c": "Martian", "SystemModstamp": stamp(2)})
    assert one(warehouse, "person", *columns) == ("female", "UNKNOWN", "UNKNOWN", "unknown", None)
    labels = ("Gender__c", "Age_Group__c", "Highest_Level_of_Educational__c", "Racial_Ethnic_Background__c")
    assert flags(warehouse) >= {("INVALID_ENUM", field) for field in labels}


def test_a_volunteer_nothing_is_known_of(warehouse):
    load(warehouse, "volunteers", volunteer(Contact_Type__c=None))
    assert one(warehouse, "person", "gender", "age_group", "education_level", "race_ethnicity") == (
        None,
        "UNKNOWN",
        "UNKNOWN",
        "unknown",
    )
    assert one(warehouse, "volunteer", "times_volunteered", "interests") == (0, None)
    for child in ("person_email", "person_phone", "person_address", "person_skill"):
        assert warehouse.table(child, "parent_id") == []
    assert flags(warehouse) == {("missing_address", "MailingStreet")}


def test_a_bad_number_of_sessions_is_none(warehouse):
    field = "Number_of_Attended_Volunteer_Sessions__c"
    numbers = ["-3", "many", "2.5", "4"]
    load(
        warehouse,
        "volunteers",
        *(volunteer(Id=record_id("003", place), **{field: number}) for place, number in enumerate(numbers)),
    )
    assert [row[1] for row in warehouse.table("volunteer", "salesforce_id", "times_volunteered")] == [0, 0, 0, 4]
    flagged = warehouse.rows("SELECT record_id FROM vms.data_quality_flag WHERE field = %s ORDER BY 1", field)
    assert flagged == [(record_id("003", place),) for place in range(3)]


def test_a_birth_date_that_cannot_be_is_dropped_and_said(warehouse):
    dates = ["0019-03-12", "2999-01-01", "1899-12-31", "soon", "1980-01-01"]
    load(
        warehouse,
        "volunteers",
        *(volunteer(Id=record_id("003", place), Birthdate=given) for place, given in enumerate(dates)),
    )
    kept = [row[1] for row in warehouse.table("person", "salesforce_id", "birthdate")]
    assert kept == [None, None, None, None, date(1980, 1, 1)]
    flagged = "SELECT record_id FROM vms.data_quality_flag WHERE (issue_type, field) = ('INVALID_DATE', 'Birthdate')"
    assert sorted(warehouse.rows(flagged)) == [(record_id("003", place),) for place in range(4)]


def test_names_in_capitals_are_mended_and_said_until_they_are_mended_there(warehouse):
    load(warehouse, "volunteers", volunteer(FirstName="ANA-LIA", LastName="MCDONALD"))
    assert one(warehouse, "person", "first_name", "last_name") == ("Ana-Lia", "McDonald")
    assert flags(warehouse) >= {("all_caps_name", "FirstName"), ("all_caps_name", "LastName")}
    load(warehouse, "volunteers", volunteer(FirstName="Ana-Lia", LastName="McDonald", SystemModstamp=stamp(1)))
    assert not {issue for issue, _ in flags(warehouse)} & {"all_caps_name"}


WORK, MAIN, HOME, OTHER_MAIL = "npe01__WorkEmail__c", "Email", "npe01__HomeEmail__c", "npe01__AlternateEmail__c"
ALL_MAILS = {WORK: "W@x.org", MAIN: " M@x.org", HOME: "h@x.org", OTHER_MAIL: "a@x.org"}


EMAILS = [
    ("Work", ALL_MAILS, "w@x.org"),
    ("Personal", ALL_MAILS, "h@x.org"),
    ("personal", {MAIN: "m@x.org"}, "m@x.org"),
    ("Alternate", ALL_MAILS, "a@x.org"),
    (None, ALL_MAILS, "m@x.org"),
    (None, {HOME: "h@x.org"}, None),
    ("Work", {MAIN: "m@x.org"}, None),
    ("Work", {WORK: "n/a", MAIN: "m@x.org"}, None),
    ("Work", {WORK: "same@x.org", MAIN: "SAME@x.org"}, "same@x.org"),
]


def of(warehouse, table, *columns):
    """Rows of a child table, by the place of the volunteer in the load."""
    found = {}
    for parent, *rest in warehouse.table(table, "parent_id", *columns):
        found.setdefault(int(parent[3:15]), []).append(tuple(rest))
    return found


def test_emails(warehouse):
    rows = [
        volunteer(Id=record_id("003", place), npe01__Preferred_Email__c=preferred, **given)
        for place, (preferred, given, _) in enumerate(EMAILS)
    ]
    load(warehouse, "volunteers", *rows)
    found = of(warehouse, "person_email", "email", "type", "is_primary")
    for place, (_, given, primary) in enumerate(EMAILS):
        emails = {email: kind for email, kind, _ in found[place]}
        assert set(emails) == {value.strip().lower() for value in given.values() if "@" in value}
        assert [email for email, _, first in found[place] if first] == ([primary] if primary else [])
        professional = {email for email, kind in emails.items() if kind == "professional"}
        assert professional == set(emails) & {"w@x.org", "same@x.org"}


def test_a_bad_email_is_dropped_and_said(warehouse):
    load(warehouse, "volunteers", volunteer(Email="jane.doe@", npe01__HomeEmail__c="None"))
    assert warehouse.table("person_email", "email") == []
    assert flags(warehouse) >= {("INVALID_EMAIL", "Email"), ("INVALID_EMAIL", "npe01__HomeEmail__c")}


def test_an_email_that_is_gone_there_goes_here(warehouse):
    load(warehouse, "volunteers", volunteer(**ALL_MAILS))
    load(warehouse, "volunteers", volunteer(Email="m@x.org", SystemModstamp=stamp(1)))
    assert warehouse.table("person_email", "email", "is_primary") == [("m@x.org", True)]


ALL_PHONES = {
    "npe01__WorkPhone__c": "(816) 555-0101",
    "Phone": "816-555-0102",
    "HomePhone": "+1 816 555 0103",
    "MobilePhone": "816.555.0104",
}


PHONES = [
    ("Work", ALL_PHONES, "(816) 555-0101"),
    ("Work", {"Phone": "816-555-0102"}, "816-555-0102"),
    ("Home", ALL_PHONES, "+1 816 555 0103"),
    ("Mobile", ALL_PHONES, "816.555.0104"),
    ("Other", ALL_PHONES, None),
    (None, ALL_PHONES, "816-555-0102"),
    (None, {"MobilePhone": "816.555.0104"}, None),
    ("Mobile", {"MobilePhone": "816.555.0104", "Phone": "8165550104"}, "816.555.0104"),
]


def test_phones(warehouse):
    rows = [
        volunteer(Id=record_id("003", place), npe01__PreferredPhone__c=preferred, **given)
        for place, (preferred, given, _) in enumerate(PHONES)
    ]
    load(warehouse, "volunteers", *rows)
    found = of(warehouse, "person_phone", "number", "type", "is_primary")
    for place, (_, given, primary) in enumerate(PHONES):
        assert [number for number, _, first in found[place] if first] == ([primary] if primary else [])
        # One that is written in two ways is one.
        assert len(found[place]) == len({value.translate(str.maketrans("", "", " ().-")) for value in given.values()})
        at_work = {given.get("npe01__WorkPhone__c"), given.get("Phone")}
        assert all((kind == "professional") == (number in at_work) for number, kind, _ in found[place])


MAILING = {
    "MailingStreet": "12 Main St\r\nApt 4\n Rear ",
    "MailingCity": "Olathe",
    "MailingState": "KS",
    "MailingPostalCode": "66061",
    "MailingCountry": "USA",
}
AT_WORK = {"npe01__Work_Address__c": "1 Grand Blvd, Kansas City, MO 64106"}


def test_addresses(warehouse):
    load(warehouse, "volunteers", volunteer(**MAILING, **AT_WORK, npe01__Primary_Address_Type__c="Home"))
    columns = ("type", "address_line1", "address_line2", "city", "state", "zip_code", "country", "is_primary")
    assert warehouse.table("person_address", *columns) == [
        ("personal", "12 Main St", "Apt 4\n Rear", "Olathe", "KS", "66061", "USA", True),
        ("professional", "1 Grand Blvd", None, "Kansas City", "MO", "64106", None, False),
    ]
    assert flags(warehouse) == set()


def test_which_address_is_primary(warehouse):
    cases = [
        (None, None, {"personal"}),
        ("Work", None, {"personal", "professional"}),
        ("Work", "Home", {"professional"}),
        ("Home", "Work", {"personal"}),
    ]
    rows = [
        volunteer(
            Id=record_id("003", place),
            npe01__Primary_Address_Type__c=first,
            npe01__Secondary_Address_Type__c=second,
            **MAILING,
            **AT_WORK,
        )
        for place, (first, second, _) in enumerate(cases)
    ]
    load(warehouse, "volunteers", *rows)
    found = of(warehouse, "person_address", "type", "is_primary")
    assert [{kind for kind, first in found[place] if first} for place in range(4)] == [case[2] for case in cases]


def test_a_country_alone_is_no_address(warehouse):
    load(warehouse, "volunteers", volunteer(MailingCountry="USA"))
    assert warehouse.table("person_address", "type") == []
    assert ("missing_address", "MailingStreet") in flags(warehouse)


def test_skills(warehouse):
    both = {
        "Volunteer_Skills__c": "Public Speaking;CODING",
        "Volunteer_Skills_Text__c": "coding, knitting; x" + "y" * 250,
    }
    load(warehouse, "volunteers", volunteer(**both))
    skills = [row[0] for row in warehouse.table("person_skill", "skill")]
    assert skills == ["Coding", "Knitting", "Public speaking", "X" + "y" * 199]
    assert ("truncated_skill", "Volunteer_Skills_Text__c") in flags(warehouse)
    assert ("truncated_skill", "Volunteer_Skills__c") not in flags(warehouse)
    assert warehouse.rows("SELECT people FROM vms.skill WHERE name = 'Coding'") == [(1,)]


def test_what_is_mended_in_the_shared_table_counts_and_makes_reports_stale(warehouse):
    load(warehouse, "volunteers", volunteer())
    warehouse.run("UPDATE vms.person SET last_name = 'Nobody'", "UPDATE ops.sync_state SET reports_stale_since = NULL")
    for shared in (1, 0):
        counts = load(warehouse, "volunteers", volunteer()).counts
        assert (counts["updated"], counts["unchanged"], counts["shared_updated"]) == (0, 1, shared)
        stale = warehouse.rows("SELECT reports_stale_since IS NOT NULL FROM ops.sync_state")
        assert stale == [(bool(shared),)]
        warehouse.run("UPDATE ops.sync_state SET reports_stale_since = NULL")
    assert one(warehouse, "person", "last_name") == "Silva"


def test_a_contact_that_changes_its_type_keeps_its_person(warehouse):
    load(warehouse, "volunteers", volunteer(Email="a@x.org"))
    load(warehouse, "volunteers", volunteer(Email="a@x.org", Contact_Type__c="Teacher", SystemModstamp=stamp(1)))
    assert one(warehouse, "volunteer", "deleted_at") is not None
    assert one(warehouse, "person", "deleted_at") is None
    assert warehouse.table("person_email", "email") == [("a@x.org",)]
    load(warehouse, "volunteers", volunteer(Email="a@x.org", SystemModstamp=stamp(2)))
    assert one(warehouse, "volunteer", "deleted_at") is None


def test_a_person_without_a_name_is_refused(warehouse):
    bad = [
        volunteer(Id=record_id("003", place), **{field: None}) for place, field in ((1, "FirstName"), (2, "LastName"))
    ]
    load(warehouse, "volunteers", *bad, *(volunteer(Id=record_id("003", 10 + place)) for place in range(10)))
    assert rejected(warehouse) == {
        (record_id("003", 1), "MISSING_REQUIRED_FIELD", "FirstName"),
        (record_id("003", 2), "MISSING_REQUIRED_FIELD", "LastName"),
    }
    assert len(warehouse.table("person", "salesforce_id")) == len(warehouse.table("volunteer", "salesforce_id")) == 10


# --- affiliations ----------------------------------------------------------------------------------------------


def tie(minutes=0, **fields):
    created = "2024-03-01T03:00:00.000Z"  # the evening of 29 February in Kansas City
    times = {"CreatedDate": created, "LastModifiedDate": stamp(minutes), "SystemModstamp": stamp(minutes)}
    ends = {"npe5__Contact__c": PERSON, "npe5__Organization__c": ACCOUNT}
    return {"Id": record_id("a0C", 1), **times, **ends, **fields}


DATES = ("status", "start_date", "end_date", "date_source")


def test_an_affiliation(warehouse):
    given = {"npe5__Role__c": "Coach", "npe5__Primary__c": "true", "npe5__Status__c": "FORMER"}
    load(warehouse, "affiliations", tie(**given, npe5__StartDate__c="2020-01-02", npe5__EndDate__c="2021-01-02"))
    columns = ("salesforce_contact_id", "salesforce_org_id", "role", "is_primary", *DATES)
    assert one(warehouse, "affiliation", *columns) == (
        PERSON, ACCOUNT, "Coach", True, "Past", date(2020, 1, 2), date(2021, 1, 2), "salesforce",
    )  # fmt: skip


def test_two_affiliations_of_the_same_two_both_stay(warehouse):
    load(warehouse, "affiliations", tie(), tie(Id=record_id("a0C", 2), npe5__Status__c="Former"))
    assert len(warehouse.table("affiliation", "salesforce_id")) == 2


def test_dates_that_salesforce_does_not_give(warehouse):
    """A new current one began when it was made; the change to Past is its end, and it begins anew without one."""
    affiliations = registry.get("affiliations")
    seen = []
    for minutes, status in ((0, "Current"), (1440, "Current"), (2880, "Former"), (4320, "Former"), (5760, "Current")):
        warehouse.load(affiliations, tie(minutes, npe5__Status__c=status))
        seen.append(one(warehouse, "affiliation", *DATES))
    began = date(2024, 2, 29)
    assert seen == [
        ("Current", began, None, "auto_detected"),
        ("Current", began, None, "auto_detected"),
        ("Past", began, date(2026, 3, 3), "auto_detected"),
        ("Past", began, date(2026, 3, 3), "auto_detected"),
        ("Current", began, None, "auto_detected"),
    ]


def test_a_past_affiliation_without_dates_has_none_until_it_becomes_current(warehouse):
    affiliations = registry.get("affiliations")
    warehouse.load(affiliations, tie(npe5__Status__c="Former"))
    assert one(warehouse, "affiliation", *DATES) == ("Past", None, None, None)
    warehouse.load(affiliations, tie(1440, npe5__Status__c="Current"))
    assert one(warehouse, "affiliation", *DATES) == ("Current", date(2026, 3, 2), None, "auto_detected")


def test_dates_of_salesforce_win_and_reading_again_changes_nothing(warehouse):
    affiliations = registry.get("affiliations")
    warehouse.load(affiliations, tie(npe5__Status__c="Current"))
    row = tie(10, npe5__Status__c="Current", npe5__StartDate__c="2019-09-01")
    assert warehouse.load(affiliations, row).counts["updated"] == 1
    assert one(warehouse, "affiliation", *DATES) == ("Current", date(2019, 9, 1), None, "salesforce")
    again = warehouse.load(affiliations, row)
    assert (again.counts["updated"], again.counts["unchanged"]) == (0, 1)


def test_affiliations_of_students_are_left_out(warehouse):
    kinds = {"Student": 1, "student": 2, "Teacher": 3, None: 4}
    rows = [tie(Id=record_id("a0C", n), **{"npe5__Contact__r.Contact_Type__c": kind}) for kind, n in kinds.items()]
    load(warehouse, "affiliations", *rows)
    assert [row[0] for row in warehouse.table("affiliation", "salesforce_id")] == [
        record_id("a0C", 3),
        record_id("a0C", 4),
    ]


def test_an_affiliation_with_one_end_is_refused(warehouse):
    ends = ("npe5__Contact__c", "npe5__Organization__c")
    bad = [tie(Id=record_id("a0C", 1 + place), **{field: None}) for place, field in enumerate(ends)]
    load(warehouse, "affiliations", *bad, *(tie(Id=record_id("a0C", 10 + place)) for place in range(10)))
    assert rejected(warehouse) == {
        (record_id("a0C", 1 + place), "MISSING_REQUIRED_FIELD", field) for place, field in enumerate(ends)
    }
