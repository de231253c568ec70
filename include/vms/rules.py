"""The one table of rules: what makes a value bad, as SQL for staged rows and as polars for small frames.

A test is given trimmed text that is not empty. Its SQL and its polars form say the same of every text; a property
test holds them together. A failed test never aborts a load: SQL only casts what has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from include.vms.spec import Action, Kind, Rule

if TYPE_CHECKING:
    import polars as pl

    from include.vms.spec import Field, SyncObject

_NUMBER: Final = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2})?$"
_DATE: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
# As Bulk 2.0 and REST write it; midnight as 24:00 and the leap second as PostgreSQL takes them.
_TIME: Final = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T(([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)[.][0-9]{3}|24:00:00[.]000)(Z|[+]0000)$"
)
_EMAIL: Final = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+([.][A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?[.])+[A-Za-z]{2,}$"
)
# The hyphen stands first: it is part of a class of characters, too.
_PHONE_MARKS: Final = "-()./ \u00a0"
_PHONE: Final = "^[+]?[1-9][0-9]{0,15}([xX]|[eE][xX][tT])?[0-9]{0,6}$"
_ID: Final = "^[A-Za-z0-9]{15}([A-Za-z0-9]{3})?$"


@dataclass(frozen=True, slots=True)
class Test:
    """One way in which a value can be bad.

    Args:
        code: as in a quarantine row, e.g. INVALID_DATE; the issue type when it is only flagged.
        words: what is wrong, for a person; `{field}` is the field's name.
        sql: an expression that is true for a bad text; VALUE is the text, which is not null.
        polars: the same for a column of texts.
    """

    code: str
    words: str
    sql: str
    polars: Callable[[pl.Expr], pl.Expr]


def _unlike(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: ~text.str.contains(pattern)


def _sql(pattern: str) -> str:
    return "VALUE !~ '" + pattern.replace("'", "''") + "'"


def _not_integer(text: pl.Expr) -> pl.Expr:
    import polars as pl

    number = pl.when(text.str.contains(_NUMBER)).then(text).cast(pl.Float64, strict=False)
    return ~((number.abs() <= 9_007_199_254_740_991) & (number == number.floor())).fill_null(value=False)


def _not_date(text: pl.Expr) -> pl.Expr:
    import polars as pl

    day = pl.when(text.str.contains(_DATE) & ~text.str.starts_with("0000")).then(text)
    return day.str.strptime(pl.Date, "%Y-%m-%d", strict=False).is_null()


def _not_time(text: pl.Expr) -> pl.Expr:
    return ~text.str.contains(_TIME) | _not_date(text.str.slice(0, 10))


# A regular expression costs PostgreSQL a state for each character that it counts: LIKE for the shape and one class for
# the letters are five times as fast, and one and a half million values of an object are looked at.
_STAMP_SHAPES: Final = "VALUE LIKE '____-__-__T__:__:__.___Z' OR VALUE LIKE '____-__-__T__:__:__.___+0000'"
KINDS: Final[dict[Kind, Test]] = {
    Kind.ID: Test(
        "INVALID_ID",
        "{field} is not a Salesforce id",
        "octet_length(VALUE) NOT IN (15, 18) OR VALUE ~ '[^A-Za-z0-9]'",
        _unlike(_ID),
    ),
    Kind.INTEGER: Test(
        "INVALID_NUMBER",
        "{field} is not a whole number",
        # Most are 3 or 3.0.
        "CASE WHEN octet_length(VALUE) <= 15 AND VALUE !~ '[^0-9]' THEN false"
        " WHEN octet_length(VALUE) BETWEEN 3 AND 15 AND VALUE LIKE '%.0' AND left(VALUE, -2) !~ '[^0-9]' THEN false"
        f" WHEN {_sql(_NUMBER)} THEN true"
        " ELSE abs(VALUE::numeric) > 9007199254740991 OR VALUE::numeric <> trunc(VALUE::numeric) END",
        _not_integer,
    ),
    Kind.NUMBER: Test("INVALID_NUMBER", "{field} is not a number", _sql(_NUMBER), _unlike(_NUMBER)),
    Kind.BOOLEAN: Test(
        "INVALID_BOOLEAN",
        "{field} is neither true nor false",
        "VALUE <> 'false' AND lower(VALUE) NOT IN ('true', 'false', '1', '0')",
        lambda text: ~text.str.to_lowercase().is_in(["true", "false", "1", "0"]),
    ),
    Kind.DATE: Test(
        "INVALID_DATE",
        "{field} is not a date",
        "VALUE NOT LIKE '____-__-__' OR translate(VALUE, '0123456789', '') <> '--'"
        " OR NOT pg_input_is_valid(VALUE, 'date')",
        _not_date,
    ),
    Kind.TIMESTAMP: Test(
        "INVALID_DATE",
        "{field} is not a point in time",
        f"NOT ({_STAMP_SHAPES}) OR translate(left(VALUE, 23), '0123456789', '') <> '--T::.'"
        " OR NOT pg_input_is_valid(VALUE, 'timestamptz')",
        _not_time,
    ),
}
# Salesforce's own stamps, three to a row: enough that they can be cast and mean the same in every time zone.
_SYSTEM_STAMP: Final = f"NOT ({_STAMP_SHAPES}) OR NOT pg_input_is_valid(VALUE, 'timestamptz')"
# The three are often equal, and comparing is cheaper than parsing.
_OTHER_STAMP: Final = f'VALUE IS DISTINCT FROM c."SystemModstamp" AND ({_SYSTEM_STAMP})'
_STAMPS: Final = {
    "SystemModstamp": _SYSTEM_STAMP,
    "CreatedDate": _OTHER_STAMP,
    "LastModifiedDate": _OTHER_STAMP,
}
RULES: Final[dict[Rule, Test]] = {
    Rule.EMAIL: Test("INVALID_EMAIL", "{field} is not an e-mail address", _sql(_EMAIL), _unlike(_EMAIL)),
    Rule.PHONE: Test(
        "INVALID_PHONE",
        "{field} is not a phone number",
        f"translate(VALUE, '{_PHONE_MARKS}', '') !~ '{_PHONE}'",
        lambda text: ~text.str.replace_all(f"[{_PHONE_MARKS}]", "").str.contains(_PHONE),
    ),
    Rule.NOT_NEGATIVE: Test(
        "OUT_OF_RANGE",
        "{field} is below zero",
        "VALUE ~ '^-[0.]*[1-9]'",
        lambda text: text.str.contains("^-[0.]*[1-9]"),
    ),
}
_MISSING: Final = "{field} is empty"
TRUNCATED: Final = "truncated"


@dataclass(frozen=True, slots=True)
class Finding:
    """What `validate` looks for in one field of an object, by its number in the row's list of problems.

    `bad` is SQL that is true for a bad row, over the cleaned layer; with `{Field}` places when `flag` is set.
    """

    number: int
    field: str
    code: str
    words: str
    bad: str
    action: Action
    severity: str = "warning"
    flag: bool = False  # a data-quality flag of the object module
    keeps_out: bool = False  # the value cannot be used: the row is rejected, or goes on without it


@lru_cache(maxsize=64)
def findings(spec: SyncObject) -> tuple[Finding, ...]:
    """Everything that is looked for in an object's rows; a finding's number is its place."""
    found: list[Finding] = []

    def add(field: str, code: str, words: str, bad: str, action: Action, **more: bool | str) -> None:
        found.append(Finding(len(found), field, code, words.format(field=field), bad, action, **more))  # type: ignore[arg-type]

    for field in spec.by_name.values():
        for code, words, bad, action in _tests(field):
            add(field.name, code, words, bad, action, keeps_out=code != TRUNCATED)
    for flag in spec.flags:
        found.append(
            Finding(
                len(found), flag.field, flag.issue_type, flag.text, flag.when, Action.FLAG, flag.severity, flag=True
            )
        )
    return tuple(found)


def _tests(field: Field) -> list[tuple[str, str, str, Action]]:
    text = 'c."' + field.name.replace('"', '""') + '"'
    result = []
    for check in field.checks:
        if check.rule is Rule.REQUIRED:
            code = "MISSING_SF_ID" if field.name == "Id" else "MISSING_REQUIRED_FIELD"
            result.append((code, _MISSING, f"{text} IS NULL", check.action))
    tests = [(KINDS[field.kind], field.on_bad_kind)] if field.kind in KINDS else []
    tests += [(RULES[check.rule], check.action) for check in field.checks if check.rule in RULES]
    for test, action in tests:
        bad = (_STAMPS.get(field.name) or test.sql).replace("VALUE", text)
        result.append((test.code, test.words, f"{text} IS NOT NULL AND ({bad})", action))
    if field.kind is Kind.TEXT and field.max_length:
        words = f"{{field}} is longer than {field.max_length} characters and was cut"
        result.append((TRUNCATED, words, f"length({text}) > {field.max_length}", Action.FLAG))
    return result
