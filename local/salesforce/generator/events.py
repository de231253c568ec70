"""Rows of sessions, who took part in them, pathways, and affiliations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from random import Random

from local.salesforce.generator.organisation import Organisation, Row
from local.salesforce.generator.words import pick, words
from local.salesforce.objects.session import TYPES

_STATUSES = ("Completed",) * 14 + ("Confirmed", "Published", "Requested", "Draft", "Cancelled", "No Show")
_ATTENDANCE = ("Attended",) * 12 + ("Completed", "Scheduled", "No-Show", "No Show", "Cancelled", "Canceled")


def affiliations(organisation: Organisation) -> Iterator[Row]:
    """Yield who belongs where, and since when."""

    def row(index: int, rng: Random) -> Row:
        who, person, what, account, turn = organisation.tie(index)
        since = 60 + rng.random() * 2_500
        past = turn > 0 or rng.random() < 0.1
        return {
            "Name": f"AFFL-{index + 1:07d}",
            "npe5__Contact__c": organisation.record_id(who, person),
            "npe5__Organization__c": organisation.record_id(what, account),
            "npe5__Role__c": who.capitalize() if who != "volunteer" else pick(rng, words().titles),
            "npe5__Primary__c": turn == 0,
            "npe5__Status__c": "Former" if past else "Current",
            "npe5__StartDate__c": organisation.day(since) if rng.random() < 0.7 else None,
            "npe5__EndDate__c": organisation.day(since * rng.random()) if past and rng.random() < 0.8 else None,
        }

    return organisation.build("affiliation", row)


def sessions(organisation: Organisation) -> Iterator[Row]:
    """Yield sessions, most of them over, some still to come."""

    def row(index: int, rng: Random) -> Row:
        kind, status = pick(rng, TYPES), pick(rng, _STATUSES)
        ago = rng.random() * 1_800 if status in ("Completed", "Cancelled", "No Show") else -rng.random() * 120
        hour = 13 + int(rng.random() * 11)  # UTC: evening events end on the next day
        school = pick(rng, organisation.sound("school"))
        topic = pick(rng, words().skills)
        return {
            "Name": f"{kind}: {topic} #{index + 1}"[:80],
            "Session_Type__c": kind,
            "Format__c": "Virtual" if rng.random() < 0.3 else "In-Person",
            "Start_Date_and_Time__c": f"{organisation.day(ago)}T{hour:02d}:30:00.000Z",
            "End_Date_and_Time__c": f"{organisation.day(ago - hour // 23)}T{(hour + 1) % 24:02d}:15:00.000Z",
            "Start_Date__c": organisation.day(ago),
            "Session_Status__c": status,
            "Location_Information__c": words().street(rng) if rng.random() < 0.5 else None,
            "Description__c": f"{topic} in practice.\n\nBring questions." if rng.random() < 0.6 else None,
            "Non_Scheduled_Students_Count__c": int(rng.random() * 120) if rng.random() < 0.5 else None,
            "School__c": organisation.record_id("school", school) if rng.random() < 0.8 else None,
            "District__c": pick(rng, words().districts) if rng.random() < 0.4 else None,
            "Parent_Account__c": pick(rng, words().districts) if rng.random() < 0.2 else None,
            "Legacy_Skill_Covered_for_the_Session__c": f'"{topic}",Skills-{pick(rng, words().skills)}',
            "Requested_Skills__c": ";".join(rng.sample(words().skills, 2)) if rng.random() < 0.3 else None,
            "Total_Requested_Volunteer_Jobs__c": int(rng.random() * 12),
            "Available_Slots__c": int(rng.random() * 4) - 1,
            "Session_Host__c": "PREPKC" if rng.random() < 0.8 else None,
            "Registration_Link__c": f'<a href="https://example.org/s/{index}" target="_blank">Sign up</a>',
        }

    return organisation.build("session", row)


def participants(organisation: Organisation) -> Iterator[Row]:
    """Yield the volunteers and the students of the sessions."""
    sessions_ = organisation.sound("session")

    def volunteer(index: int, rng: Random) -> Row:
        row = _participant(organisation, "Volunteer", index, rng)
        row["Contact__c"] = organisation.record_id("volunteer", pick(rng, organisation.sound("volunteer")))
        row["Title__c"] = pick(rng, words().titles) if rng.random() < 0.4 else None
        row["Email__c"] = f"guest{index}@example.org" if rng.random() < 0.3 else None
        return row

    def student(index: int, rng: Random) -> Row:
        row = _participant(organisation, "Student", index, rng)
        pupils = organisation.sound("student")
        # No pair twice: as many students in turn as there are sessions, then the next ones.
        row["Session__c"] = organisation.record_id("session", sessions_[index % len(sessions_)])
        row["Contact__c"] = organisation.record_id(
            "student", pupils[(index * 3 + index // len(sessions_)) % len(pupils)]
        )
        return row

    return chain(
        organisation.build("volunteer_participant", volunteer), organisation.build("student_participant", student)
    )


def _participant(organisation: Organisation, kind: str, index: int, rng: Random) -> Row:
    return {
        "Name": f"SP-{kind[0]}{index + 1:07d}",
        "Session__c": organisation.record_id("session", pick(rng, organisation.sound("session"))),
        "Participant_Type__c": kind,
        "Status__c": pick(rng, _ATTENDANCE),
        "Delivery_Hours__c": round(0.25 + rng.random() * 6, 2) if rng.random() < 0.6 else None,
        "Age_Group__c": "25-34" if kind == "Volunteer" and rng.random() < 0.2 else None,
    }


def pathways(organisation: Organisation) -> Iterator[Row]:
    """Yield programmes."""

    def row(index: int, rng: Random) -> Row:
        return {
            "Name": f"{pick(rng, words().skills)} Pathway {index + 1}",
            "School__c": organisation.record_id("school", pick(rng, organisation.sound("school"))),
            "Begin__c": f"{2023 + index % 4}-09-01",
        }

    return organisation.build("pathway", row)


def pathway_participants(organisation: Organisation) -> Iterator[Row]:
    """Yield the students of programmes."""

    def row(index: int, rng: Random) -> Row:
        return {
            "Name": f"PP-{index + 1:06d}",
            "Contact__c": organisation.record_id("student", pick(rng, organisation.sound("student"))),
            "Pathway__c": organisation.record_id("pathway", pick(rng, organisation.sound("pathway"))),
        }

    return organisation.build("pathway_participant", row)


def pathway_sessions(organisation: Organisation) -> Iterator[Row]:
    """Yield the sessions of programmes."""

    def row(index: int, rng: Random) -> Row:
        return {
            "Name": f"PS-{index + 1:06d}",
            "Session__c": organisation.record_id("session", pick(rng, organisation.sound("session"))),
            "Pathway__c": organisation.record_id("pathway", pick(rng, organisation.sound("pathway"))),
        }

    return organisation.build("pathway_session", row)
