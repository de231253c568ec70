"""The organisation at work: people enter, change, merge and delete records while time passes.

Everything a sync can miss is among it: formulas that change without a new SystemModstamp, changes that become visible
late with the stamps of when they were made, contacts that change their type, records that leave the recycle bin.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from local.salesforce.errors import ApiError
from local.salesforce.generator.words import email, phone, pick, words
from local.salesforce.ids import make_id, number_of
from local.salesforce.store import Store

PER_MINUTE = 2.0
_log = logging.getLogger(__name__)
# After a long pause (a sleeping laptop, a clock moved by days) no more than an hour's work is caught up at once.
_MOST_MINUTES = 60.0
_TIE = "npe5__Affiliation__c"


def step(store: Store, minutes: float, *, per_minute: float = PER_MINUTE, move: bool = True) -> Counter[str]:
    """Do what happens in that many minutes; return how often each thing was done.

    With `move` the organisation's clock goes on by so much, each change at its own moment; otherwise all of it happens
    now. The changes follow from the clock's time and the records: the same organisation changes in the same way.
    """
    rng = Random(f"{store.clock.stamp()}/{store.count('Contact', deleted=True)}")
    wanted = minutes * per_minute
    changes = int(wanted) + (rng.random() < wanted % 1)
    done: Counter[str] = Counter()
    for _ in range(changes):
        if move:
            store.clock.move(60 * minutes / (changes + 1))
        name, act = rng.choices(_ACTS, cum_weights=_WEIGHTS)[0]
        try:
            if act(_Desk(store, rng)):
                done[name] += 1
        except ApiError:
            # Someone else was faster with the same record.
            _log.debug("%s: not possible any more", name)
    if move:
        store.clock.move(60 * minutes / (changes + 1))
    return done


async def run(store: Store, *, every: float = 10.0, per_minute: float = PER_MINUTE) -> None:
    """Go on until cancelled: every so many seconds, what happened since then by the organisation's clock.

    Nothing uses the store any more when the cancelled task has ended.
    """
    before = store.clock.now()
    while True:
        await asyncio.sleep(every)
        now = store.clock.now()
        minutes = max(0.0, min(_MOST_MINUTES, (now - before) / timedelta(minutes=1)))
        before = now
        work = asyncio.ensure_future(asyncio.to_thread(step, store, minutes, per_minute=per_minute, move=False))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            # Whoever cancels closes the store next: not while a thread is in it.
            await work
            raise


class _Desk:
    """One change in the making: picks records, and knows what day it is."""

    def __init__(self, store: Store, rng: Random) -> None:
        self.store, self.rng = store, rng

    @property
    def today(self) -> str:
        return self.store.clock.stamp()[:10]

    def some(self, name: str, where: str = "IsDeleted = 0") -> dict[str, Any] | None:
        """Return a record for which the condition (ours) holds: the next one after a place drawn at random."""
        meta = self.store.object(name)
        with self.store.read() as db:
            (last,) = db.execute(f'SELECT max(Id) FROM "{meta.name}"').fetchone()  # noqa: S608 - names of ours
            if last is None:
                return None
            start = make_id(meta.key_prefix, int(number_of(last) * self.rng.random()))
            query = f'SELECT Id FROM "{meta.name}" WHERE {where} AND Id >= ? ORDER BY Id LIMIT 1'  # noqa: S608
            found = db.execute(query, (start,)).fetchone() or db.execute(query, ("",)).fetchone()
        return None if found is None else self.store.get(name, found[0])

    def volunteer(self) -> dict[str, Any] | None:
        return self.some("Contact", "IsDeleted = 0 AND (Contact_Type__c = 'Volunteer' OR Contact_Type__c IS NULL)")

    def late(self) -> float:
        """Return by how many seconds this change is visible late: one in ten by up to five minutes."""
        return 5 + self.rng.random() * 295 if self.rng.random() < 0.1 else 0.0


def _new_volunteer(desk: _Desk) -> bool:
    rng, store, late = desk.rng, desk.store, desk.late()
    first, last = words().person(rng)
    firm = desk.some(
        "Account", "IsDeleted = 0 AND coalesce(Type, '') NOT IN ('Household', 'School', 'School District')"
    )
    household = store.insert("Account", {"Name": f"{last} Household", "Type": "Household"})
    city, state, code = words().city(rng)
    person = {
        "FirstName": first,
        "LastName": last,
        "Contact_Type__c": "Volunteer",
        "AccountId": household,
        "Email": email(rng, first, last, int(rng.random() * 10**6)),
        "MobilePhone": phone(rng),
        "MailingStreet": words().street(rng),
        "MailingCity": city,
        "MailingState": state,
        "MailingPostalCode": code,
        "npsp__Primary_Affiliation__c": firm and firm["Id"],
    }
    contact = store.insert("Contact", person, late_by=late)
    if firm:
        tie = {
            "npe5__Contact__c": contact,
            "npe5__Organization__c": firm["Id"],
            "npe5__Primary__c": True,
            "npe5__Status__c": "Current",
            "npe5__StartDate__c": desk.today,
        }
        # The tie may be visible before the person is.
        store.insert(_TIE, tie)
    return True


def _new_student(desk: _Desk) -> bool:
    group = desk.some("Class__c", "IsDeleted = 0 AND School__c IS NOT NULL")
    if group is None:
        return False
    first, last = words().person(desk.rng)
    student = {
        "FirstName": first,
        "LastName": last,
        "Contact_Type__c": "Student",
        "AccountId": group["School__c"],
        "npsp__Primary_Affiliation__c": group["School__c"],
        "Class__c": group["Id"],
        "Current_Grade__c": f"{int(desk.rng.random() * 13)}.0",
    }
    desk.store.insert("Contact", student, late_by=desk.late())
    return True


def _edit_volunteer(desk: _Desk) -> bool:
    found, rng = desk.volunteer(), desk.rng
    if found is None:
        return False
    first, last = str(found["FirstName"] or "x"), str(found["LastName"] or "x")
    changes: tuple[dict[str, Any], ...] = (
        {"Title": pick(rng, words().titles)},
        {"MobilePhone": phone(rng)},
        {"Email": email(rng, first, last, int(rng.random() * 10**6))},
        {"Volunteer_Skills__c": ";".join(rng.sample(words().skills, 3))},
        {"Volunteer_Recruitment_Notes__c": f'Wrote on {desk.today}:\n"perhaps next year"'},
        {"DoNotCall": not found["DoNotCall"]},
        {"MailingStreet": None, "MailingCity": None, "MailingState": None, "MailingPostalCode": None},
    )
    desk.store.update("Contact", found["Id"], pick(rng, changes), late_by=desk.late())
    return True


def _attend(desk: _Desk) -> bool:
    """A participation, and the roll-ups on the contact, which no stamp tells of."""
    found, session = desk.volunteer(), desk.some("Session__c")
    if found is None or session is None:
        return False
    row = {
        "Contact__c": found["Id"],
        "Session__c": session["Id"],
        "Participant_Type__c": "Volunteer",
        "Status__c": "Attended",
        "Delivery_Hours__c": 1.5,
    }
    desk.store.insert("Session_Participant__c", row)
    times = max(0.0, found["Number_of_Attended_Volunteer_Sessions__c"] or 0) + 1
    sums = {"Number_of_Attended_Volunteer_Sessions__c": times, "Last_Volunteer_Date__c": desk.today}
    if found["First_Volunteer_Date__c"] is None:
        sums["First_Volunteer_Date__c"] = desk.today
    desk.store.update("Contact", found["Id"], sums, stamps="none")
    return True


def _formula(desk: _Desk) -> bool:
    found = desk.volunteer()
    if found is not None:
        desk.store.update("Contact", found["Id"], {"Last_Activity_Date__c": desk.today}, stamps="none")
    return found is not None


def _bounce(desk: _Desk) -> bool:
    found = desk.volunteer()
    if found is not None:
        bounced = {"EmailBouncedDate": desk.store.clock.stamp(), "EmailBouncedReason": "550 5.1.1 unknown user"}
        desk.store.update("Contact", found["Id"], bounced, stamps="system")
    return found is not None


def _other_type(desk: _Desk) -> bool:
    """A student who is now a volunteer, or a volunteer who now teaches; the record stays the same."""
    now, then = pick(desk.rng, (("Student", "Volunteer"), ("Volunteer", "Teacher"), ("Teacher", "Volunteer")))
    found = desk.some("Contact", f"IsDeleted = 0 AND Contact_Type__c = '{now}'")
    if found is not None:
        desk.store.update("Contact", found["Id"], {"Contact_Type__c": then})
    return found is not None


def _end_tie(desk: _Desk) -> bool:
    found = desk.some(_TIE, "IsDeleted = 0 AND npe5__Status__c = 'Current'")
    if found is not None:
        ended = {"npe5__Status__c": "Former", "npe5__Primary__c": False, "npe5__EndDate__c": desk.today}
        desk.store.update(_TIE, found["Id"], ended, late_by=desk.late())
    return found is not None


def _rename_organization(desk: _Desk) -> bool:
    found = desk.some(
        "Account", "IsDeleted = 0 AND coalesce(Type, '') NOT IN ('Household', 'School', 'School District')"
    )
    if found is not None:
        name = f"{pick(desk.rng, words().heads)} {pick(desk.rng, words().tails)}"
        desk.store.update("Account", found["Id"], {"Name": name, "Description": f"Formerly {found['Name']}"})
    return found is not None


def _session_status(desk: _Desk) -> bool:
    found = desk.some("Session__c")
    if found is not None:
        status = pick(desk.rng, ("Completed", "Confirmed", "Cancelled", "Published"))
        desk.store.update("Session__c", found["Id"], {"Session_Status__c": status})
    return found is not None


def _delete(desk: _Desk) -> bool:
    name = pick(desk.rng, ("Contact", _TIE, _TIE, "Session_Participant__c"))
    found = desk.volunteer() if name == "Contact" else desk.some(name)
    if found is not None:
        desk.store.delete(name, [found["Id"]], late_by=desk.late())
    return found is not None


def _undelete(desk: _Desk) -> bool:
    name = pick(desk.rng, ("Contact", _TIE))
    # What was merged away is not undeleted by people; nor is a tie whose person is still in the bin.
    alone = "MasterRecordId IS NULL" if name == "Contact" else (
        "EXISTS (SELECT 1 FROM Contact AS c WHERE c.Id = npe5__Contact__c AND c.IsDeleted = 0)"
    )  # fmt: skip
    found = desk.some(name, f"IsDeleted = 1 AND {alone}")
    if found is not None:
        desk.store.undelete(name, [found["Id"]])
    return found is not None


def _purge(desk: _Desk) -> bool:
    found = desk.some(_TIE, "IsDeleted = 1")
    if found is not None:
        desk.store.hard_delete(_TIE, [found["Id"]])
    return found is not None


def _merge(desk: _Desk) -> bool:
    winner, loser = desk.volunteer(), desk.volunteer()
    if winner is None or loser is None or winner["Id"] == loser["Id"]:
        return False
    kept = {"Description": "Was there twice."} if winner["Description"] is None else {}
    desk.store.merge("Contact", winner["Id"], [loser["Id"]], kept)
    return True


# What happens, and how often among a hundred changes.
_TABLE: tuple[tuple[str, Callable[[_Desk], bool], int], ...] = (
    ("new volunteer", _new_volunteer, 10),
    ("new student", _new_student, 10),
    ("volunteer edited", _edit_volunteer, 24),
    ("session attended", _attend, 12),
    ("formula changed", _formula, 6),
    ("e-mail bounced", _bounce, 4),
    ("other type", _other_type, 5),
    ("affiliation ended", _end_tie, 8),
    ("organization renamed", _rename_organization, 4),
    ("session status", _session_status, 6),
    ("deleted", _delete, 5),
    ("undeleted", _undelete, 2),
    ("purged", _purge, 2),
    ("merged", _merge, 2),
)
_ACTS = [(name, act) for name, act, _ in _TABLE]
_WEIGHTS = [sum(weight for _, _, weight in _TABLE[: n + 1]) for n in range(len(_TABLE))]
