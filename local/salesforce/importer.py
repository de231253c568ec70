"""Brings the Nonprofit Success Pack's sample organisation (`datasets/1k`, a SQLite dump) into the simulator."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from local.salesforce.store import Store

_HOUSEHOLD = "HH_Account"
_TABLES = ("Account", "Account_rt_mapping", "Contact", "npe4__Relationship__c", "Opportunity")

Row = dict[str, Any]
Ids = dict[str, str | None]


class DumpError(ValueError):
    """The file is no dump of that sample."""


def import_npsp(store: Store, path: Path) -> dict[str, int]:
    """Add the sample's accounts, contacts, affiliations, relationships and gifts; return how many each object got.

    Records get ids of ours, references follow. A contact's primary affiliation becomes an affiliation too, as the
    package itself does, and its mailing address is that of its household. No contact has a type.

    Raises:
        DumpError: the file is no such dump.
        OSError: it cannot be read.
    """
    with closing(_open(path)) as dump:
        accounts = _insert(store, dump, "Account", _accounts(dump))
        contacts = _insert(store, dump, "Contact", _contacts(dump, accounts))
        counts = {"Account": len(accounts), "Contact": len(contacts)}
        for name, rows in (
            ("npe5__Affiliation__c", _affiliations(dump, accounts, contacts)),
            ("npe4__Relationship__c", _relationships(dump, contacts)),
            ("Opportunity", _opportunities(dump, accounts, contacts)),
        ):
            counts[name] = len(store.insert_many(name, rows))
    return counts


def _open(path: Path) -> sqlite3.Connection:
    dump = sqlite3.connect(":memory:")
    dump.row_factory = sqlite3.Row
    # The file is a program in SQL: it may fill this database, and touch no other file.
    dump.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK
    )
    try:
        dump.executescript(path.read_text(encoding="utf-8"))
        for table in _TABLES:
            dump.execute(f'SELECT 1 FROM "{table}" LIMIT 1')  # noqa: S608 - names of ours
    except (sqlite3.Error, UnicodeDecodeError) as error:
        dump.close()
        raise DumpError(f"{path} is not the sample organisation of the Nonprofit Success Pack: {error}") from error
    return dump


def _insert(store: Store, dump: sqlite3.Connection, name: str, rows: Iterator[Row]) -> Ids:
    """Insert the rows of a table in the order of its own keys; return our id of each key, and null for no key."""
    made = store.insert_many(name, rows)
    keys = (str(row["id"]) for row in dump.execute(f'SELECT id FROM "{name}" ORDER BY id'))  # noqa: S608 - names of ours
    return dict(zip(keys, made, strict=True))


def _accounts(dump: sqlite3.Connection) -> Iterator[Row]:
    query = """SELECT a.*, t.developer_name FROM "Account" a
        LEFT JOIN "Account_rt_mapping" t ON t.record_type_id = a."RecordTypeId" ORDER BY a.id"""
    for row in dump.execute(query):
        copied = ("Name", *(f"Billing{part}" for part in ("Street", "City", "State", "PostalCode", "Country")))
        household = row["developer_name"] == _HOUSEHOLD
        yield {name: row[name] for name in copied} | {
            "Type": "Household" if household else None,
            "npe01__SYSTEM_AccountType__c": row["npe01__SYSTEM_AccountType__c"],
            "npe01__SYSTEMIsIndividual__c": household,
        }


def _contacts(dump: sqlite3.Connection, accounts: Ids) -> Iterator[Row]:
    query = """SELECT c.*, a."BillingStreet", a."BillingCity", a."BillingState", a."BillingPostalCode",
        a."BillingCountry" FROM "Contact" c LEFT JOIN "Account" a ON CAST(a.id AS TEXT) = c.account_id ORDER BY c.id"""
    for row in dump.execute(query):
        copied = ("Salutation", "FirstName", "LastName", "Email", "Phone", "Title")
        mailing = {f"Mailing{p}": row[f"Billing{p}"] for p in ("Street", "City", "State", "PostalCode", "Country")}
        yield (
            {name: row[name] for name in copied}
            | mailing
            | {
                "AccountId": accounts.get(row["account_id"]),
                "npsp__Primary_Affiliation__c": accounts.get(row["primary_affiliation__c"]),
            }
        )


def _affiliations(dump: sqlite3.Connection, accounts: Ids, contacts: Ids) -> Iterator[Row]:
    query = """SELECT id, primary_affiliation__c FROM "Contact" WHERE primary_affiliation__c <> '' ORDER BY id"""
    for number, row in enumerate(dump.execute(query), 1):
        yield {
            "Name": f"AFFL-{number:07d}",
            "npe5__Contact__c": contacts[str(row["id"])],
            "npe5__Organization__c": accounts.get(row["primary_affiliation__c"]),
            "npe5__Primary__c": True,
            "npe5__Status__c": "Current",
        }


def _relationships(dump: sqlite3.Connection, contacts: Ids) -> Iterator[Row]:
    for number, row in enumerate(dump.execute('SELECT * FROM "npe4__Relationship__c" ORDER BY id'), 1):
        yield {
            "Name": f"R-{number:07d}",
            "npe4__Contact__c": contacts.get(row["npe4__contact__c"]),
            "npe4__RelatedContact__c": contacts.get(row["npe4__related_contact__c"]),
            "npe4__Type__c": row["npe4__Type__c"],
            "npe4__Status__c": "Current",
        }


def _opportunities(dump: sqlite3.Connection, accounts: Ids, contacts: Ids) -> Iterator[Row]:
    for row in dump.execute('SELECT * FROM "Opportunity" ORDER BY id'):
        yield {
            "Name": row["name"],
            "AccountId": accounts.get(row["account_id"]),
            "Amount": row["amount"],
            "StageName": row["stage_name"],
            "CloseDate": row["close_date"],
            "npsp__Primary_Contact__c": contacts.get(row["primary_contact__c"]),
        }
