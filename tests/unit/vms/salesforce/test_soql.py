"""Values in SOQL stay values, whatever is in them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark import Lark

from include.operations.errors import InputRejected
from include.vms.salesforce import soql

# A string literal as Salesforce's documents describe it: only these escapes, no bare quote, backslash or line end.
LITERAL = Lark(r"""start: /'(\\[nrtbf'"\\]|[^'\\\n\r])*'/""")


@given(st.text())
def test_a_text_is_one_literal(value):
    LITERAL.parse(soql.text(value))


@pytest.mark.parametrize("value", ["O'Brien", "' OR Name != '", "\\' OR Id != null --", "a\nb", "{{ params }}"])
def test_injection_stays_inside_the_literal(value):
    found = soql.text(value)
    plain = found[1:-1].replace("\\\\", "").replace("\\'", "")
    assert "'" not in plain
    assert "\n" not in found


@pytest.mark.parametrize("value", ["Name FROM Contact --", "Id, Name", "", "a.b.c", "Na'me", "1Name", "Name\n"])
def test_only_api_names_are_names(value):
    with pytest.raises(InputRejected, match="API name"):
        soql.name(value)


@pytest.mark.parametrize("value", ["", "003", "003000000000001'--", "003000000000001AAAA", "003000000000001AAA\n"])
def test_only_record_ids_are_ids(value):
    with pytest.raises(InputRejected, match="record id"):
        soql.ids([value])


def test_moments_are_utc_with_milliseconds():
    moment = datetime(2026, 3, 1, 1, 2, 3, 456_789, timezone(timedelta(hours=-5)))
    assert soql.moment(moment) == "2026-03-01T06:02:03.456Z"
    assert soql.moment(datetime(19, 1, 1, tzinfo=UTC)) == "0019-01-01T00:00:00.000Z"


def test_every_condition_has_its_own_parentheses():
    query = soql.select(["Id", "Account.Name"], "Contact", ["A = 1 OR B = 2", "", "C = 3"], limit=5)
    assert query == "SELECT Id,Account.Name FROM Contact WHERE (A = 1 OR B = 2) AND (C = 3) LIMIT 5"
    assert soql.count("Contact") == "SELECT COUNT() FROM Contact"
