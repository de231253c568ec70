"""Random conditions: the SQL of a query finds the same records as an evaluator in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.salesforce.metadata import Catalog, FieldMeta, ObjectMeta
from local.salesforce.soql import compile_query
from local.salesforce.store import Store

Row = dict[str, Any]
Test = Callable[[Row], bool]
# A condition as SOQL, and what decides it.
Condition = tuple[str, Test]

_THING = ObjectMeta(
    name="Thing__c",
    label="Thing",
    key_prefix="a00",
    fields=(
        FieldMeta(name="Name"),
        FieldMeta(name="Text__c"),
        FieldMeta(name="Number__c", type="double"),
        FieldMeta(name="Flag__c", type="boolean"),
        FieldMeta(name="Day__c", type="date"),
        FieldMeta(name="Moment__c", type="datetime"),
        FieldMeta(name="Parent__c", type="reference", reference_to=("Thing__c",), relationship_name="Parent__r"),
    ),
)
_TEXTS = ("a", "A", "b", "ab", "É", "é", "O'Neil", 'say "hi"', "back\\slash", "100%", "a_b", "two\nlines", "null")
_NUMBERS = (-1.5, 0.0, 1.0, 2.0, 1e6)
_DAYS = ("0019-01-01", "2024-02-29", "2025-06-01", "2999-12-31")
_MOMENTS = tuple(f"{day}T{time}.000Z" for day in _DAYS[1:] for time in ("00:00:00", "12:30:59"))
_VALUES: dict[str, tuple[Any, ...]] = {
    "Text__c": _TEXTS,
    "Number__c": _NUMBERS,
    "Day__c": _DAYS,
    "Moment__c": _MOMENTS,
}


@pytest.fixture(scope="module")
def things() -> Iterator[tuple[Store, list[Row]]]:
    """Records with every value and with nulls, each with a parent or none."""
    store = Store(catalog=Catalog([_THING]))
    rows: list[Row] = []
    for n in range(60):
        row: Row = {
            name: (None, *values)[(n * (k + 3)) % (len(values) + 1)] for k, (name, values) in enumerate(_VALUES.items())
        }
        row |= {"Name": f"thing {n}", "Flag__c": n % 3 == 0, "Parent__c": rows[n // 2]["Id"] if n % 4 else None}
        row["Id"] = store.insert("Thing__c", row)
        rows.append(row)
    by_id = {row["Id"]: row for row in rows}
    for row in rows:
        row["Parent__r.Text__c"] = (by_id.get(row["Parent__c"]) or {}).get("Text__c")
    yield store, rows
    store.close()


def quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ('"', '\\"')):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def literal(field: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if field.endswith("Text__c") else str(value)


def key(field: str, value: Any) -> Any:
    return value.lower() if field.endswith("Text__c") and value is not None else value


_TEXT_FIELDS = st.sampled_from(("Text__c", "Parent__r.Text__c"))
_FIELDS = st.one_of(st.sampled_from(tuple(_VALUES)), _TEXT_FIELDS)


def values_of(field: str) -> tuple[Any, ...]:
    return _VALUES[field.rpartition(".")[2]]


@st.composite
def equality(draw: st.DrawFn) -> Condition:
    field = draw(_FIELDS)
    value = draw(st.sampled_from((None, *values_of(field))))
    wanted, negated = key(field, value), draw(st.booleans())
    text = (
        draw(st.sampled_from(("''", "null", "NULL")))
        if value is None and field.endswith("Text__c")
        else literal(field, value)
    )
    word = draw(st.sampled_from(("!=", "<>"))) if negated else "="
    return f"{field} {word} {text}", lambda row: (key(field, row[field]) == wanted) is not negated


@st.composite
def ranking(draw: st.DrawFn) -> Condition:
    field, word = draw(_FIELDS), draw(st.sampled_from(("<", "<=", ">", ">=")))
    value = draw(st.sampled_from(values_of(field)))
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    return (
        f"{field}{word}{literal(field, value)}",
        lambda row: row[field] is not None and compare[word](key(field, row[field]), key(field, value)),
    )


@st.composite
def membership(draw: st.DrawFn) -> Condition:
    field = draw(_FIELDS)
    values = draw(st.lists(st.sampled_from((None, *values_of(field))), min_size=1, max_size=4))
    wanted, negated = [key(field, value) for value in values], draw(st.booleans())
    text = ", ".join(literal(field, value) for value in values)
    word = "NOT IN" if negated else "in"
    return f"{field} {word} ({text})", lambda row: (key(field, row[field]) in wanted) is not negated


def like(pattern: list[tuple[str, str]], text: str) -> bool:
    """Match letter by letter: each part of the pattern is any letters, any letter, or this letter."""
    if not pattern:
        return not text
    (kind, letter), *others = pattern
    if kind == "any":
        return any(like(others, text[n:]) for n in range(len(text) + 1))
    return bool(text) and (kind == "one" or text[0] == letter) and like(others, text[1:])


@st.composite
def likeness(draw: st.DrawFn) -> Condition:
    field = draw(_TEXT_FIELDS)
    letters = st.sampled_from("aAbéÉ%_\\'0nt\n")
    part = st.one_of(st.just(("any", "")), st.just(("one", "")), letters.map(lambda letter: ("this", letter)))
    parts = draw(st.lists(part, min_size=1, max_size=5))
    written = {"any": "%", "one": "_"}
    escaped = {"%": "\\%", "_": "\\_", "\\": "\\\\", "'": "\\'", "\n": "\\n"}
    text = "".join(written.get(kind) or escaped.get(letter, letter) for kind, letter in parts)
    pattern = [(kind, letter.lower()) for kind, letter in parts]
    return f"{field} LIKE '{text}'", lambda row: row[field] is not None and like(pattern, row[field].lower())


_FLAG: st.SearchStrategy[Condition] = st.booleans().map(
    lambda value: (f"Flag__c = {str(value).upper()}", lambda row: row["Flag__c"] is value)
)


def joined(parts: list[Condition], word: str) -> Condition:
    decide = all if word == "AND" else any
    text = f" {word} ".join(f"({text})" for text, _ in parts)
    return text, lambda row: decide(test(row) for _, test in parts)


def wider(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        st.tuples(several, st.sampled_from(("AND", "OR"))).map(lambda given: joined(*given)),
        inner.map(lambda given: (f"NOT ({given[0]})", lambda row: not given[1](row))),
    )


_CONDITIONS = st.recursive(st.one_of(equality(), ranking(), membership(), likeness(), _FLAG), wider, max_leaves=6)


@settings(max_examples=300)
@given(condition=_CONDITIONS)
def test_a_condition_finds_what_the_rules_say(things: tuple[Store, list[Row]], condition: Condition) -> None:
    store, rows = things
    text, test = condition
    plan = compile_query(f"SELECT Id FROM Thing__c WHERE {text}", store.catalog, datetime.now(UTC))
    with store.read() as db:
        found = {row[0] for row in db.execute(plan.sql, plan.parameters)}
    assert found == {row["Id"] for row in rows if test(row)}, text


@given(field=_FIELDS, descending=st.booleans(), last=st.sampled_from((None, True, False)))
def test_order(things: tuple[Store, list[Row]], field: str, descending: bool, last: bool | None) -> None:
    store, rows = things
    words = ["DESC" if descending else "", "" if last is None else f"NULLS {'LAST' if last else 'FIRST'}"]
    text = f"SELECT Id FROM Thing__c ORDER BY {field} {' '.join(words)}, Id"
    plan = compile_query(text, store.catalog, datetime.now(UTC))
    with store.read() as db:
        found = [row[0] for row in db.execute(plan.sql, plan.parameters)]
    nulls = sorted(row["Id"] for row in rows if row[field] is None)
    others = sorted((row for row in rows if row[field] is not None), key=lambda row: row["Id"])
    others.sort(key=lambda row: key(field, row[field]), reverse=descending)
    ranked = [row["Id"] for row in others]
    assert found == (ranked + nulls if last else nulls + ranked)
