"""Rows of Case, Task and EmailMessage: what was said and written."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from local.salesforce.generator.organisation import Organisation, Row
from local.salesforce.generator.words import pick

_SUBJECTS = (
    "Thank you for coming", "Email: Career Fair", "Call", "Re: schedule, please confirm", "Background check", "Réunion",
    'About "Career Day"',
)  # fmt: skip


def cases(organisation: Organisation) -> Iterator[Row]:
    """Yield requests."""

    def row(index: int, rng: Random) -> Row:
        return {
            "CaseNumber": f"{index + 1:08d}",
            "ContactId": organisation.record_id("volunteer", pick(rng, organisation.sound("volunteer"))),
            "Subject": pick(rng, _SUBJECTS),
            "Status": pick(rng, ("New", "Working", "Closed", "Closed")),
            "Origin": pick(rng, ("Email", "Phone", "Web")),
        }

    return organisation.build("case", row)


def tasks(organisation: Organisation) -> Iterator[Row]:
    """Yield calls, notes and logged e-mails; half of them about a session."""

    def row(_index: int, rng: Random) -> Row:
        who = "volunteer" if rng.random() < 0.8 else "teacher"
        what = pick(rng, organisation.sound("session")) if rng.random() < 0.5 else None
        return {
            "Subject": pick(rng, _SUBJECTS),
            "Description": "Left a message.\n<p>Calls back <b>after 3&nbsp;pm</b></p>" if rng.random() < 0.5 else None,
            "Type": pick(rng, ("Call", "Email", "Meeting", "Other", "Email")),
            "Status": "Completed",
            "Priority": "Normal",
            "IsClosed": True,
            "ActivityDate": organisation.day(rng.random() * 1_500) if rng.random() < 0.95 else None,
            "WhoId": organisation.record_id(who, pick(rng, organisation.sound(who))),
            "WhatId": None if what is None else organisation.record_id("session", what),
        }

    return organisation.build("task", row)


def emails(organisation: Organisation) -> Iterator[Row]:
    """Yield e-mails, most about a person, some about a case or an organisation."""

    def row(index: int, rng: Random) -> Row:
        incoming, chance = rng.random() < 0.4, rng.random()
        case = organisation.record_id("case", pick(rng, organisation.sound("case"))) if chance > 0.85 else None
        about = "volunteer" if chance < 0.7 else "organization"
        person, office = f"person{index}@example.org", "office@example.com"
        return {
            "ParentId": case,
            "RelatedToId": case or organisation.record_id(about, pick(rng, organisation.sound(about))),
            "Subject": pick(rng, _SUBJECTS),
            "TextBody": "Dear friends,\n\nsee you there.\n\n-- \nThe office" if rng.random() < 0.7 else None,
            "HtmlBody": "<html><body><p>Dear friends,<br>see you &amp; yours.</p></body></html>",
            "MessageDate": f"{organisation.day(rng.random() * 1_500)}T16:20:00.000Z",
            "FromAddress": person if incoming else office,
            "ToAddress": office if incoming else f"{person}; Team@Example.org",
            "Incoming": incoming,
            "Status": "0" if incoming else "3",
            "MessageIdentifier": f"<{index}.{organisation.seed}@example.com>",
        }

    return organisation.build("email", row)
