"""The simulated organisation: everything in it follows from a seed and a percentage of the real volumes.

`tables` gives its records, `defects` what is wrong with which of them and where a sync must put each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from local.salesforce.generator import accounts, events, history, people
from local.salesforce.generator.defects import Defect, Outcome
from local.salesforce.generator.organisation import NOW, Organisation, Row

__all__ = ["NOW", "Defect", "Organisation", "Outcome", "Row", "defects", "tables"]

_TABLES: tuple[tuple[str, Callable[[Organisation], Iterator[Row]]], ...] = (
    ("Account", accounts.accounts),
    ("Class__c", accounts.classes),
    ("Contact", people.contacts),
    ("npe5__Affiliation__c", events.affiliations),
    ("Session__c", events.sessions),
    ("Session_Participant__c", events.participants),
    ("Pathway__c", events.pathways),
    ("Pathway_Participant__c", events.pathway_participants),
    ("Pathway_Session__c", events.pathway_sessions),
    ("Case", history.cases),
    ("Task", history.tasks),
    ("EmailMessage", history.emails),
)


def tables(seed: int = 7, percent: float = 1, now: datetime = NOW) -> Iterator[tuple[str, Iterator[Row]]]:
    """Yield each object's name and its records, one after another: nothing but the row at hand is in memory."""
    organisation = Organisation(seed, percent, now)
    return ((name, rows(organisation)) for name, rows in _TABLES)


def defects(seed: int = 7, percent: float = 1) -> list[Defect]:
    """Return what is wrong in `tables(seed, percent)`."""
    return list(Organisation(seed, percent).defects())
