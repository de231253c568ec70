"""Each rule says the same of every text in SQL and in polars, and SQL casts whatever has passed."""

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from include.vms.expressions import cleaned
from include.vms.rules import KINDS, RULES
from include.vms.spec import Field, Kind, Rule

pytestmark = pytest.mark.servers

_TESTS = {**KINDS, **RULES}
# What a text of the kind is made of, so that many examples nearly are one.
_SHAPES = {
    Kind.ID: r"[A-Za-z0-9]{14,19}|[A-Za-z0-9]{14}.",
    Kind.INTEGER: r"[+-]?[0-9]{0,17}[.]?[0-9]{0,2}([eE][+-]?[0-9]{0,3})?|-?90071992547409[0-9]{2}([.]0)?",
    Kind.NUMBER: r"[+-]?[0-9]{0,5}[.]?[0-9]{0,5}([eE][+-]?[0-9]{0,3})?",
    Kind.BOOLEAN: r"[tT][rR][uU][eE]|[fF]alse|[01]|[ynot]{1,3}",
    Kind.DATE: r"[0-9]{4}-[0-3][0-9]-[0-3][0-9]|[0-9 -]{10}|.{4}-.{2}-.{2}",
    Kind.TIMESTAMP: r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}(Z|\+0000|\+0100)"
    r"|2026-03-01T24:00:0[01]\.00[01]Z|[0-9-]{10}T[0-9:]{8}\.[0-9-]{3}Z|.{10}T.{8}\..{3}Z",
    Rule.EMAIL: r"[a-z.'+]{1,4}@[a-z.-]{1,6}\.[a-z0-9]{1,3}|[a-z@. ]{1,9}",
    Rule.PHONE: r"[+]?[0-9() ./-]{1,18}(x|ext|EXT)?[0-9]{0,7}",
    Rule.NOT_NEGATIVE: r"-?[0.]{0,3}[0-9]{0,3}",
}
_CASTS = {
    Kind.INTEGER: "numeric::bigint",
    Kind.NUMBER: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamptz",
}


@pytest.fixture(scope="module")
def connection(postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("name", list(_TESTS), ids=str)
def test_sql_and_polars_agree(connection, name):
    test = _TESTS[name]
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
    near = st.from_regex(_SHAPES[name], fullmatch=True)
    query = sql.SQL("SELECT {} FROM unnest(%s::text[]) AS t (x)").format(
        sql.SQL(test.sql.replace("%", "%%").replace("VALUE", "x"))
    )

    # Not shrunk: the assertion names the one text of the list, and shrinking lists takes minutes.
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(st.lists(near | near | text, min_size=40, max_size=200))
    def agree(texts):
        # As the rules get them: trimmed and not empty.
        texts = [each for text in texts if (each := text.strip(" \t\n\r\x0b\x0c\u00a0").replace("\0", ""))]
        by_sql = [bad for (bad,) in connection.execute(query, [texts])]
        by_polars = pl.DataFrame({"x": texts}, schema={"x": pl.String}).select(test.polars(pl.col("x"))).to_series()
        differ = [t for t, one, other in zip(texts, by_sql, by_polars.to_list(), strict=True) if one is not other]
        assert differ == []
        good = [each for each, bad in zip(texts, by_sql, strict=True) if not bad]
        if name in _CASTS:
            connection.execute(f"SELECT x::{_CASTS[name]} FROM unnest(%s::text[]) AS t (x)", [good]).fetchall()

    agree()


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (Kind.ID, ["0015e00000AbCdE", "0015e00000AbCdEAAX"], ["0015e00000AbCdEAA", "0015e00000AbCd-", "x"]),
        (
            Kind.INTEGER,
            ["3", "3.0", "-0", "1e3", "9007199254740991"],
            ["3.5", "nan", "1e99", "9007199254740992", "0x1"],
        ),
        (Kind.NUMBER, ["3.5", ".5", "1E7", "-2."], ["NaN", "Infinity", "1e999", "1_000", "."]),
        (Kind.BOOLEAN, ["true", "FALSE", "1", "0"], ["yes", "t", "None"]),
        (Kind.DATE, ["2024-02-29", "0019-01-01"], ["2023-02-29", "0000-01-01", "today", "01/02/2026", "2026-1-1"]),
        (
            Kind.TIMESTAMP,
            ["2013-05-20T20:49:32.000Z", "2013-05-20T20:49:32.000+0000", "2999-12-31T23:59:59.999Z"],
            ["2013-05-20T20:49:32", "2013-02-30T20:49:32.000Z", "now", "2013-05-20T25:49:32.000Z"],
        ),
        (Rule.EMAIL, ["a@b.co", "o'neil+x@sub.example.org"], ["a@b", "a b@c.de", "a@@b.co", ".a@b.co", "a@-b.co"]),
        (Rule.PHONE, ["(816) 555-0100", "+1 816.555.0100 x12", "8165550100ext5"], ["none", "0", "call 816", "++1"]),
        (Rule.NOT_NEGATIVE, ["0", "-0", "-0.00", "5"], ["-1", "-0.01"]),
    ],
    ids=str,
)
def test_what_is_good_and_what_is_bad(connection, name, good, bad):
    query = sql.SQL("SELECT {} FROM unnest(%s::text[]) AS t (x)").format(
        sql.SQL(_TESTS[name].sql.replace("%", "%%").replace("VALUE", "x"))
    )
    verdicts = dict(zip(good + bad, [row[0] for row in connection.execute(query, [good + bad])], strict=True))
    assert verdicts == dict.fromkeys(good, False) | dict.fromkeys(bad, True)


def test_every_kind_of_value_has_its_test():
    assert set(KINDS) == set(Kind) - {Kind.TEXT}
    assert set(RULES) == set(Rule) - {Rule.REQUIRED}


def test_blanks_alone_are_no_value(connection):
    for kind in Kind:
        query = sql.SQL("SELECT bool_and({} IS NULL) FROM unnest(%s::text[]) AS s (x)").format(
            cleaned(Field("x", kind))
        )
        assert connection.execute(query, [["", " ", "\t\r\n", "\u00a0 "]]).fetchone() == (True,)
