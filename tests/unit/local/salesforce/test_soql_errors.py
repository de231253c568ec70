"""What SOQL refuses, with Salesforce's codes, texts and places."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from local.salesforce.errors import ApiError
from local.salesforce.soql import Plan, compile_query
from local.salesforce.store import Store

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


def plan(store: Store, text: str, *, all_rows: bool = False) -> Plan:
    return compile_query(text, store.catalog, NOW, all_rows=all_rows)


def test_an_unknown_field_is_shown_as_salesforce_shows_it(store: Store) -> None:
    with pytest.raises(ApiError) as error:
        plan(store, "SELECT Id,Foo FROM Contact")
    assert error.value.status == 400
    (entry,) = error.value.body()
    assert entry["errorCode"] == "INVALID_FIELD"
    assert entry["message"].startswith(
        "\nSELECT Id,Foo FROM Contact\n          ^\nERROR at Row:1:Column:11\n"
        "No such column 'Foo' on entity 'Contact'. If you are attempting to use a custom field, "
    )


def test_a_place_far_inside_and_in_another_row_is_found(store: Store) -> None:
    text = f"SELECT Id\nFROM Contact\nWHERE Email IN ({', '.join(['null'] * 30)}) AND Bar = 1"
    column = text.index("Bar") - text.rindex("\n")
    with pytest.raises(ApiError, match=f"ERROR at Row:3:Column:{column}\nNo such column 'Bar'") as error:
        plan(store, text)
    _, line, caret, *_ = error.value.message.split("\n")
    assert line[caret.index("^") :].startswith("Bar = 1")


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "MALFORMED_QUERY", "A query string has to be specified"),
        ("SELECT Id FORM Contact", "MALFORMED_QUERY", "Column:11\nunexpected token: 'FORM'"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY", "Column:29\nunexpected token: '<EOF>'"),
        ("SELECT Id FROM Contact;", "MALFORMED_QUERY", "unexpected token: ';'"),
        ("DELETE FROM Contact", "MALFORMED_QUERY", "unexpected token: 'DELETE'"),
        ("SELECT Id FROM Contact WHERE Name = 'x", "MALFORMED_QUERY", "Column:37\n"),
        ("SELECT Id FROM Contact WHERE Name = 'O'Neil'", "MALFORMED_QUERY", "unexpected token: 'Neil'"),
        (
            "SELECT Id FROM Contact WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        (
            "SELECT Id FROM Contact WHERE Name = 'a' OR Name = 'b' AND Name = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'AND'",
        ),
        ("SELECT Id FROM Contact GROUP BY Id", "MALFORMED_QUERY", "unexpected token: 'GROUP'"),
        ("SELECT Id FROM Contact LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'"),
        ("SELECT Id FROM Nothing__c", "INVALID_TYPE", "Column:16\nsObject type 'Nothing__c' is not supported."),
        ("SELECT Id, name, NAME FROM Contact", "INVALID_FIELD", "duplicate field selected: NAME"),
        ("SELECT Foo.Name FROM Contact", "INVALID_FIELD", "Didn't understand relationship 'Foo' in field path."),
        ("SELECT Account.Foo FROM Contact", "INVALID_FIELD", "No such column 'Foo' on entity 'Account'"),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM Contact WHERE MailingAddress = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Contact ORDER BY MailingAddress", "INVALID_FIELD", "can not be sorted"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        (
            "SELECT Id FROM Contact WHERE SystemModstamp > '2024-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "value of filter criterion for field 'SystemModstamp' must be of type dateTime and should not be enclosed",
        ),
        ("SELECT Id FROM Contact WHERE SystemModstamp > 2024-01-01", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > 2024-02-31T00:00:00Z", "INVALID_FIELD", "Invalid datetime"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD", "must be of type string and should be enclosed"),
        ("SELECT Id FROM Contact WHERE IsDeleted = 'false'", "INVALID_FIELD", "must be of type boolean"),
        ("SELECT Id FROM Contact WHERE Id = 'junk'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: junk"),
        ("SELECT Id FROM Contact WHERE Id LIKE '003%'", "INVALID_FIELD", "invalid operator on id field"),
        ("SELECT Id FROM Contact WHERE LastName > null", "INVALID_FIELD", "invalid operator on string field"),
        (r"SELECT Id FROM Contact WHERE LastName = '\q'", "INVALID_QUERY_FILTER_OPERATOR", r"character sequence '\q'"),
        ("SELECT COUNT(Id) FROM Contact LIMIT 5", "MALFORMED_QUERY", "one row"),
    ],
)
def test_refused(store: Store, text: str, code: str, words: str) -> None:
    with pytest.raises(ApiError) as error:
        plan(store, text)
    assert error.value.code == code
    assert words in error.value.message


@pytest.mark.parametrize(
    "attempt",
    [
        "x'; DROP TABLE Contact; --",
        "x' OR IsDeleted = true OR Name = '",
        '"; DELETE FROM "Contact"; --',
        "%' UNION SELECT Id FROM Account --",
    ],
)
def test_a_quoted_text_stays_a_text(store: Store, attempt: str) -> None:
    store.reset()
    store.insert("Contact", {"LastName": "someone else"})
    mine = store.insert("Contact", {"LastName": attempt})
    escaped = attempt.replace("\\", "\\\\").replace("'", "\\'")
    found = plan(store, f"SELECT Id FROM Contact WHERE LastName = '{escaped}'")
    assert attempt not in found.sql
    with store.read() as db:
        assert db.execute(found.sql, found.parameters).fetchall() == [(mine, mine)]


def test_names_are_shown_as_they_are_defined(store: Store) -> None:
    found = plan(store, "select ID, account.NAME, Contact.lastname from contact where ACCOUNT.name != null limit 3")
    assert [column.name for column in found.columns] == ["Id", "Account.Name", "LastName"]
    assert (found.limited, found.ordered, found.has_offset) == (True, False, False)


def test_deleted_records_come_only_with_all_rows(store: Store) -> None:
    store.reset()
    kept, gone = store.insert_many("Contact", [{"LastName": "kept"}, {"LastName": "gone"}])
    store.delete("Contact", [gone])
    for all_rows, expected in ((False, {kept}), (True, {kept, gone})):
        found = plan(store, "SELECT Id FROM Contact", all_rows=all_rows)
        with store.read() as db:
            assert {row[0] for row in db.execute(found.sql, found.parameters)} == expected


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("= TODAY", {0}),
        ("!= TODAY", {-9, -1, 1, 9}),
        ("< yesterday", {-9}),
        ("<= YESTERDAY", {-9, -1}),
        ("> TODAY", {1, 9}),
        (">= TOMORROW", {1, 9}),
        ("= LAST_N_DAYS:3", {-1, 0}),
        ("= NEXT_N_DAYS:9", {1, 9}),
    ],
)
def test_days(store: Store, condition: str, days: set[int]) -> None:
    store.reset()
    stamps = {
        n: f"2026-{'04' if n == -9 else '05'}-{23 if n == -9 else 2 + n:02}T23:59:59.000Z" for n in (-9, -1, 0, 1, 9)
    }
    rows = [{"LastName": str(n), "SystemModstamp": stamp} for n, stamp in stamps.items()]
    store.insert_many("Contact", rows)
    found = plan(store, f"SELECT LastName FROM Contact WHERE SystemModstamp {condition}")
    with store.read() as db:
        assert {int(row[0]) for row in db.execute(found.sql, found.parameters)} == days
