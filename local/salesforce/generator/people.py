"""Rows of Contact: volunteers, teachers, students, and people who are none of these."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from random import Random

from local.salesforce.generator.organisation import Organisation, Row
from local.salesforce.generator.words import email, phone, pick, words

# Labels that the reference maps (6.5-6.8), in the ways people write them.
EDUCATION = (
    "High School", "High School Diploma or GED", "Some College", "Associate's Degree", "Bachelor's Degree", "Bachelors",
    "Master's Degree", "Masters", "Doctorate", "PhD", "Professional Degree", "Certificate", "Prefer not to answer",
)  # fmt: skip
RACES = (
    "Hispanic American/Latino", "Hispanic or Latino", "Black", "Black/African American", "White",
    "White/Caucasian/European American", "Asian American", "Asian American/Pacific Islander", "Native Hawaiian",
    "American Indian or Alaska Native", "Bi-racial", "Multi-racial", "Two or More Races", "Prefer not to answer",
    "Other", "Other POC",
)  # fmt: skip
AGES = ("Under 18", "18-24", "25-34", "35-44", "45-54", "55-64", "65+")
GENDERS = ("Male", "Female", "Female", "Male", "Female", "Male", "Other", "Prefer not to say", "Genderfluid")
SALUTATIONS = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.")


def contacts(organisation: Organisation) -> Iterator[Row]:
    """Yield all contacts."""
    return chain(
        organisation.build("volunteer", lambda index, rng: _volunteer(organisation, index, rng)),
        organisation.build("teacher", lambda index, rng: _teacher(organisation, index, rng)),
        organisation.build("student", lambda index, rng: _student(organisation, index, rng)),
        organisation.build("other", lambda index, rng: _other(organisation, index, rng)),
    )


def _maybe(rng: Random, share: float, values: tuple[str, ...] | list[str]) -> str | None:
    return pick(rng, values) if rng.random() < share else None


def _household(organisation: Organisation, index: int) -> str:
    return organisation.record_id("household", index * 3 // 4 % organisation.sizes["household"])


def _volunteer(organisation: Organisation, index: int, rng: Random) -> Row:
    first, last = words().person(rng)
    row: Row = {
        # One in twelve was never told apart: no type counts as volunteer (5.7).
        "Contact_Type__c": "Volunteer" if rng.random() > 0.08 else None,
        "AccountId": _household(organisation, index),
        "FirstName": first,
        "LastName": last,
        "MiddleName": words().first_name(rng) if rng.random() < 0.15 else None,
        "Salutation": _maybe(rng, 0.2, SALUTATIONS),
        "Suffix": "Jr." if rng.random() < 0.01 else None,
        "npsp__Primary_Affiliation__c": organisation.record_id("organization", organisation.employers[index]),
        "Title": _maybe(rng, 0.7, words().titles),
        "Department": _maybe(rng, 0.3, words().departments),
        "Gender__c": _maybe(rng, 0.6, GENDERS),
        "Racial_Ethnic_Background__c": _maybe(rng, 0.5, RACES),
        "Age_Group__c": _maybe(rng, 0.5, AGES),
        "Highest_Level_of_Educational__c": _maybe(rng, 0.4, EDUCATION),
        "Birthdate": organisation.day(7_000 + rng.random() * 18_000) if rng.random() < 0.2 else None,
        "DoNotCall": rng.random() < 0.02,
        "npsp__Do_Not_Contact__c": rng.random() < 0.01,
        "HasOptedOutOfEmail": rng.random() < 0.05,
    }
    _reach(row, organisation, first, last, index, rng)
    _mailing(row, rng)
    _history(row, organisation, rng)
    return row


def _reach(row: Row, organisation: Organisation, first: str, last: str, index: int, rng: Random) -> None:
    home, work = email(rng, first, last, index), email(rng, first, last, index)
    row["Email"] = home
    if rng.random() < 0.5:
        row["npe01__WorkEmail__c"] = work
    if rng.random() < 0.3:
        # The same address twice is common, in another case as well.
        row["npe01__HomeEmail__c"] = home.upper() if rng.random() < 0.1 else home
    if rng.random() < 0.1:
        row["npe01__AlternateEmail__c"] = f"other.{work}"
    row["npe01__Preferred_Email__c"] = _maybe(rng, 0.5, ("Personal", "Work", "Alternate", "Personal"))
    for name, share in (("Phone", 0.3), ("MobilePhone", 0.6), ("HomePhone", 0.3), ("npe01__WorkPhone__c", 0.2)):
        if rng.random() < share:
            row[name] = phone(rng)
    row["npe01__PreferredPhone__c"] = _maybe(rng, 0.4, ("Home", "Work", "Mobile"))
    if rng.random() < 0.02:
        row["EmailBouncedDate"] = f"{organisation.day(rng.random() * 400)}T14:05:09.000Z"


def _mailing(row: Row, rng: Random) -> None:
    city, state, code = words().city(rng)
    row["MailingStreet"] = words().street(rng)
    row["MailingCity"], row["MailingState"], row["MailingPostalCode"] = city, state, code
    row["MailingCountry"] = "United States" if rng.random() < 0.7 else None
    row["npe01__Primary_Address_Type__c"] = _maybe(rng, 0.6, ("Home", "Work"))
    row["npe01__Home_Address__c"] = f"{row['MailingStreet']}, {city}, {state} {code}"
    if rng.random() < 0.15:
        row["npe01__Work_Address__c"] = f"{words().street(rng)}, {city}, {state} {code}"


def _history(row: Row, organisation: Organisation, rng: Random) -> None:
    """What a volunteer did: roll-ups, skills, notes."""
    times = int(rng.paretovariate(1.1)) - 1
    last = rng.random() * 1_200
    row["Number_of_Attended_Volunteer_Sessions__c"] = min(times, 400)
    if times:
        row["Last_Volunteer_Date__c"] = organisation.day(last)
        row["First_Volunteer_Date__c"] = organisation.day(last + min(times, 100) * rng.random() * 40)
    row["Last_Activity_Date__c"] = organisation.day(last / 2)
    if rng.random() < 0.5:
        row["Last_Email_Message__c"] = organisation.day(rng.random() * 700)
        row["Last_Non_Internal_Email_Activity__c"] = organisation.day(rng.random() * 900)
    if rng.random() < 0.4:
        row["Last_Mailchimp_Email_Date__c"] = organisation.day(rng.random() * 500)
    if rng.random() < 0.35:
        row["Volunteer_Skills__c"] = ";".join(rng.sample(words().skills, 1 + int(rng.random() * 4)))
    if rng.random() < 0.15:
        row["Volunteer_Skills_Text__c"] = pick(rng, ("; ", ", ")).join(rng.sample(words().skills, 2))
    if rng.random() < 0.3:
        row["Volunteer_Interests__c"] = ";".join(rng.sample(words().interests, 2))
    if rng.random() < 0.1:
        row["Volunteer_Recruitment_Notes__c"] = 'Met at the fair.\nSaid: "call after May", then wrote again.'
    if rng.random() < 0.1:
        row["Connector_Role__c"] = "Industry Professional"
        row["Connector_User_ID__c"] = f"{int(rng.random() * 10**9):09d}"


def _teacher(organisation: Organisation, index: int, rng: Random) -> Row:
    first, last = words().person(rng)
    if rng.random() < 0.08:
        last = f"{last} {words().person(rng)[1]}"  # two surnames: splitting a name at its last word is wrong
    school = organisation.teacher_schools[index]
    return {
        "Contact_Type__c": "Teacher",
        "AccountId": organisation.record_id("school", school),
        "FirstName": first,
        "LastName": last,
        "Email": email(rng, first, last, index + 100_000) if rng.random() < 0.85 else None,
        "npsp__Primary_Affiliation__c": organisation.record_id("school", school),
        "Department": _maybe(rng, 0.6, words().departments),
        "Gender__c": _maybe(rng, 0.5, GENDERS),
        "Phone": phone(rng) if rng.random() < 0.3 else None,
        "Last_Email_Message__c": organisation.day(rng.random() * 400) if rng.random() < 0.4 else None,
        "Last_Mailchimp_Email_Date__c": organisation.day(rng.random() * 400) if rng.random() < 0.3 else None,
    }


def _student(organisation: Organisation, index: int, rng: Random) -> Row:
    first, last = words().person(rng)
    place = organisation.student_classes[index]
    school = organisation.record_id("school", organisation.class_school(place))
    grade = int(rng.random() * 13)
    row: Row = {
        "Contact_Type__c": "Student",
        "AccountId": school,
        "FirstName": first,
        "LastName": last,
        "npsp__Primary_Affiliation__c": school,
        "Class__c": organisation.record_id("class", place),
        "Local_Student_ID__c": f"S{index:07d}",
        "Birthdate": organisation.day(365.25 * (5.5 + grade + rng.random())),
        "Gender__c": pick(rng, GENDERS),
        "Racial_Ethnic_Background__c": pick(rng, RACES),
        "Legacy_Grade__c": f"{grade}th" if rng.random() < 0.2 else None,
        "Current_Grade__c": f"{grade}.0" if rng.random() < 0.97 else None,
    }
    if rng.random() < 0.12:
        row["Email"] = email(rng, first, last, index + 200_000)
    if rng.random() < 0.05:
        row["Phone"] = phone(rng)
    return row


def _other(organisation: Organisation, index: int, rng: Random) -> Row:
    first, last = words().person(rng)
    return {
        "Contact_Type__c": "Donor" if rng.random() < 0.7 else "Board Member",
        "AccountId": _household(organisation, index),
        "FirstName": first,
        "LastName": last,
        "Email": email(rng, first, last, index + 500_000) if rng.random() < 0.7 else None,
    }
