"""Rows of Account (districts, schools, organisations, households) and Class__c."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from random import Random

from local.salesforce.generator.organisation import Organisation, Row
from local.salesforce.generator.words import phone, pick, words


def accounts(organisation: Organisation) -> Iterator[Row]:
    """Yield all accounts, parents before their children."""
    return chain(
        organisation.build("district", _district),
        organisation.build("school", lambda index, rng: _school(organisation, index, rng)),
        organisation.build("organization", lambda index, rng: _organization(organisation, index, rng)),
        organisation.build("household", lambda _index, rng: _household(rng)),
    )


def classes(organisation: Organisation) -> Iterator[Row]:
    """Yield a class for each school in turn; the year is that of the graduation."""
    schools = organisation.sizes["school"]

    def row(index: int, rng: Random) -> Row:
        year = 2026 + (index // schools + int(rng.random() * 3)) % 13
        return {
            "Name": f"Class of {year} {chr(65 + index % 26)}",
            "School__c": organisation.record_id("school", organisation.class_school(index)),
            "Class_Year_Number__c": year,
        }

    return organisation.build("class", row)


def _billing(row: Row, rng: Random) -> Row:
    city, state, code = words().city(rng)
    return row | {
        "BillingStreet": words().street(rng),
        "BillingCity": city,
        "BillingState": state,
        "BillingPostalCode": code,
        "BillingCountry": "United States",
    }


def _district(index: int, rng: Random) -> Row:
    known, places = words().districts, words().school_words
    turn, place = divmod(index - len(known), len(places))
    name = known[index] if index < len(known) else f"{places[place]} School District" + (f" R-{turn + 1}" * bool(turn))
    row: Row = {"Name": name, "Type": "School District", "School_Code_External_ID__c": f"{4800 + index:06d}"}
    return _billing(row, rng)


def _school(organisation: Organisation, index: int, rng: Random) -> Row:
    kind = rng.choices(words().school_kinds, cum_weights=words().school_weights)[0]
    name = f"{pick(rng, words().school_words)} {kind}"
    district = pick(rng, organisation.sound("district"))
    row: Row = {
        "Name": name,
        "Type": "School",
        "ParentId": organisation.record_id("district", district),
        "Phone": phone(rng),
        # Written once by the virtual classroom's software, and left empty for a school in three.
        "Connector_Account_Name__c": name.upper() if rng.random() < 0.66 else None,
        "School_Code_External_ID__c": f"{district:03d}{index:05d}" if rng.random() < 0.9 else None,
    }
    return _billing(row, rng)


def _organization(organisation: Organisation, index: int, rng: Random) -> Row:
    head, tail = pick(rng, words().heads), pick(rng, words().tails)
    middle = f" {pick(rng, words().middles)}" if rng.random() < 0.8 else ""
    row: Row = {
        "Name": f"{head}{middle} {tail}",
        "Type": rng.choices(words().types, cum_weights=words().type_weights)[0],
        "Industry": pick(rng, words().industries) if rng.random() < 0.4 else None,
        "Phone": phone(rng) if rng.random() < 0.5 else None,
        "Website": f"https://www.example.org/{index}" if rng.random() < 0.4 else None,
        "Description": "Sends speakers.\nAsk early in the year." if rng.random() < 0.2 else None,
        "LastActivityDate": organisation.day(rng.random() * 900) if rng.random() < 0.6 else None,
    }
    return _billing(row, rng) if rng.random() < 0.6 else row


def _household(rng: Random) -> Row:
    _, last = words().person(rng)
    row: Row = {
        "Name": f"{last} Household",
        "Type": "Household",
        "npe01__SYSTEM_AccountType__c": "Household Account",
        "npe01__SYSTEMIsIndividual__c": True,
    }
    return _billing(row, rng) if rng.random() < 0.5 else row
