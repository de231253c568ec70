"""Text to tree: the grammar is in soql.lark."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, cast

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from local.salesforce.errors import ApiError
from local.salesforce.soql.errors import at
from local.salesforce.soql.tree import (
    Comparison,
    Condition,
    Connection,
    Count,
    LiteralKind,
    Membership,
    Negation,
    Operator,
    Order,
    Path,
    Query,
    Value,
)

_LONGEST = 100_000
_LONGEST_STRING = 4000
_MOST_DIGITS = 9
_DEEPEST = 100
_KINDS: dict[str, LiteralKind] = {
    "STRING": "string",
    "NUMBER": "number",
    "TRUE": "boolean",
    "FALSE": "boolean",
    "NULL": "null",
    "DATE": "date",
    "DATETIME": "datetime",
    "DAYS": "days",
}


@lru_cache(maxsize=1)
def _lark() -> Lark:
    grammar = FilePath(__file__).with_name("soql.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", propagate_positions=False)


def parse(text: str) -> Query:
    """Read a query. Raises ApiError MALFORMED_QUERY, which shows the place."""
    if not text.strip():
        raise ApiError("MALFORMED_QUERY", "A query string has to be specified")
    if len(text) > _LONGEST:
        raise ApiError("MALFORMED_QUERY", f"SOQL statements cannot be longer than {_LONGEST} characters.")
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as error:
        raise _malformed(text, error) from None
    return _query(text, tree)


def _malformed(text: str, error: UnexpectedInput) -> ApiError:
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        return at(text, len(text.rstrip()), "MALFORMED_QUERY", "unexpected token: '<EOF>'")
    position = error.pos_in_stream or 0
    if isinstance(error, UnexpectedCharacters):
        if text[position] == "'":
            return at(text, position, "MALFORMED_QUERY", "line 1, mismatched character '<EOF>' expecting '''")
        word = next(iter(text[position:].split()), "").partition(",")[0]
        return at(text, position, "MALFORMED_QUERY", f"unexpected token: '{word}'")
    token = error.token if isinstance(error, UnexpectedToken) else ""
    return at(text, position, "MALFORMED_QUERY", f"unexpected token: '{token}'")


def _query(text: str, tree: Tree[Token]) -> Query:
    _, selection, _, entity, *clauses = tree.children
    assert isinstance(selection, Tree)  # noqa: S101 - the grammar says so
    assert isinstance(entity, Token)  # noqa: S101 - the grammar says so
    found = {str(clause.data): clause.children for clause in clauses if isinstance(clause, Tree)}
    offset = found.get("offset")
    return Query(
        text=text,
        fields=tuple(_path(t) for t in selection.children) if selection.data == "fields" else (),
        count=_count(selection),
        entity=str(entity),
        entity_position=_position(entity),
        where=_condition(text, found["where"][1]) if "where" in found else None,
        order=tuple(_order(item) for item in found.get("order", [])[2:]),
        limit=_number(text, found["limit"][1]) if "limit" in found else None,
        offset=_number(text, offset[1]) if offset else None,
        offset_position=_position(offset[1]) if offset else 0,
    )


def _count(selection: Tree[Token]) -> Count | None:
    if selection.data == "fields":
        return None
    if selection.data == "count_all":
        return Count(None, "")
    _, path, *alias = selection.children
    return Count(_path(path), str(alias[0]) if alias else "expr0")


def _condition(text: str, node: Any, depth: int = 0) -> Condition:
    if depth > _DEEPEST:
        message = "Query is either selecting too many fields or the filter conditions are too complicated."
        raise ApiError("QUERY_TOO_COMPLICATED", message)
    match str(node.data), node.children:
        case ("conjunction" | "disjunction") as kind, parts:
            inner = tuple(_condition(text, p, depth + 1) for p in parts if isinstance(p, Tree))
            return Connection("AND" if kind == "conjunction" else "OR", inner)
        case "negation", [_, part]:
            return Negation(_condition(text, part, depth + 1))
        case "comparison", [path, operator, value]:
            word = str(operator).upper()
            return Comparison(_path(path), cast("Operator", "!=" if word == "<>" else word), _value(text, value))
        case kind, [path, *_, values]:
            return Membership(_path(path), tuple(_value(text, v) for v in values.children), kind == "is_not_in")
        case kind, _:
            raise AssertionError(kind)


def _value(text: str, node: Any) -> Value:
    (token,) = node.children
    literal = str(token)[1:-1] if token.type == "STRING" else str(token)
    if len(literal) > _LONGEST_STRING:
        message = f"a literal cannot be longer than {_LONGEST_STRING} characters"
        raise at(text, _position(token), "MALFORMED_QUERY", message)
    return Value(_KINDS[token.type], literal, _position(token))


def _number(text: str, token: Any) -> int:
    if len(token) > _MOST_DIGITS:
        raise at(text, _position(token), "NUMBER_OUTSIDE_VALID_RANGE", "number out of range")
    return int(str(token))


def _order(node: Any) -> Order:
    path, *others = node.children
    words = {t.type for other in others for t in other.children}
    return Order(_path(path), "DESC" in words, "LAST" in words)


def _path(token: Any) -> Path:
    return Path(tuple(name.strip() for name in str(token).split(".")), _position(token))


def _position(token: Any) -> int:
    return int(token.start_pos or 0)
