"""Whatever is sent as a query: it is answered, or refused in Salesforce's way; nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from local.salesforce.errors import ApiError
from local.salesforce.soql import compile_query
from local.salesforce.store import Store

_WORDS = (
    *("SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "ORDER BY", "NULLS LAST", "LIMIT", "OFFSET", "DESC"),
    *(
        "COUNT()",
        "COUNT(",
        "(",
        ")",
        ",",
        ".",
        "=",
        "!=",
        "<",
        ">=",
        "'",
        "\\",
        "''",
        "'x'",
        "'%_'",
        r"'\u00e9'",
        r"'\q'",
    ),
    *(
        "Id",
        "Name",
        "Email",
        "Contact",
        "Account",
        "Account.Name",
        "Account.Parent.Parent.Name",
        "IsDeleted",
        "Birthdate",
    ),
    *(
        "MailingAddress",
        "SystemModstamp",
        "NumberOfEmployees",
        "null",
        "true",
        "5",
        "-1.5",
        "99999999999999999999",
        "1e5",
    ),
    *(
        "TODAY",
        "LAST_N_DAYS:3",
        "LAST_N_DAYS:999999",
        "2024-01-01",
        "2024-13-01",
        "2024-01-01T00:00:00Z",
        "\n",
        "é",
        "\0",
    ),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"),
)
_SOUP = st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join)
_TAIL = st.lists(st.sampled_from(_WORDS), max_size=10).map(
    lambda words: f"SELECT Id FROM Contact WHERE {' '.join(words)}"
)
_ORDER = st.lists(st.sampled_from(_WORDS), max_size=6).map(
    lambda words: f"SELECT Id, Name FROM Contact {' '.join(words)}"
)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    store.insert_many("Contact", [{"LastName": "a", "Email": None}, {"LastName": "é", "Email": "a@example.org"}])
    yield store
    store.close()


@settings(max_examples=400)
@given(text=st.one_of(_SOUP, _TAIL, _ORDER, st.text(max_size=40)))
@example(text="SELECT Id FROM Contact LIMIT 99999999999999999999")
@example(text=f"SELECT Id FROM Contact LIMIT {'9' * 5000}")
@example(text=f"SELECT Id FROM Contact OFFSET {'9' * 5000}")
@example(text=f"SELECT Id FROM Contact WHERE Id IN ({', '.join(['null'] * 20_000)})")
@example(text=f"SELECT Id FROM Contact WHERE Email IN ({', '.join(['null, NULL'] * 500)}, 'a@example.org')")
@example(text=f"SELECT Id FROM Contact WHERE {'(' * 500}Id = null{')' * 500}")
@example(text=f"SELECT Id FROM Contact WHERE {'NOT ' * 500}Id = null")
@example(text=" OR ".join(["SELECT Id FROM Contact WHERE Email = 'a'", *["Email = 'b'"] * 2000]))
@example(text=f"SELECT Id FROM Contact WHERE LastName = '{'x' * 50_000}'")
@example(text=f"SELECT Id FROM Contact WHERE LastName LIKE '{'%x' * 40_000}'")
@example(text=f"SELECT Id FROM Contact WHERE LAST_N_DAYS:{'9' * 5000} = Id")
@example(text=f"SELECT Id FROM Contact WHERE Birthdate = LAST_N_DAYS:{'9' * 5000}")
@example(text=f"SELECT Id FROM Contact WHERE Birthdate = LAST_N_DAYS:{'9' * 15}")
@example(text="SELECT Id FROM Contact WHERE SystemModstamp > 0001-01-01T00:00:00+14:00")
@example(text="SELECT Id FROM Contact WHERE SystemModstamp = 9999-12-31T23:59:59-12:00")
def test_nothing_but_an_answer_or_a_refusal(store: Store, text: str) -> None:
    try:
        plan = compile_query(text, store.catalog, datetime.now(UTC), all_rows=True)
    except ApiError:
        return
    with store.read() as db:
        rows = db.execute(plan.sql, plan.parameters).fetchall()
    if plan.count_alias is None:
        assert all(plan.record(row, "62.0")["attributes"]["url"] for row in rows)
