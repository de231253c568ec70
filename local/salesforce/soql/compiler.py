"""Tree to SQL: names are looked up in the catalog, values become parameters.

A condition is true or false, never unknown: `!=` and NOT IN keep records whose field is null, `= ''` finds them.
Text is compared without regard to case.
"""

from __future__ import annotations

from datetime import datetime

from local.salesforce.database import quote
from local.salesforce.errors import ApiError
from local.salesforce.metadata import ADDRESS_PARTS, IDS, Catalog, FieldMeta, ObjectMeta
from local.salesforce.soql import literals
from local.salesforce.soql.errors import at, no_such_field, no_such_object, no_such_relationship
from local.salesforce.soql.parser import parse
from local.salesforce.soql.plan import Plan, Selected
from local.salesforce.soql.tree import Comparison, Condition, Connection, Membership, Negation, Order, Path, Query
from local.salesforce.values import Stored

_MOST_OFFSET = 2000
_LEVELS = 5
_SIGN = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def compile_query(text: str, catalog: Catalog, now: datetime, *, all_rows: bool = False) -> Plan:
    """Return the plan of a query; deleted records only with `all_rows` (queryAll). Raises ApiError."""
    query = parse(text)
    entity = catalog.find(query.entity)
    if entity is None or not entity.queryable:
        raise no_such_object(text, query.entity_position, query.entity)
    if query.offset is not None and query.offset > _MOST_OFFSET:
        message = f"Maximum SOQL offset allowed is {_MOST_OFFSET}"
        raise at(text, query.offset_position, "NUMBER_OUTSIDE_VALID_RANGE", message)
    return _Compiler(query, catalog, entity, now).plan(all_rows=all_rows)


class _Compiler:
    def __init__(self, query: Query, catalog: Catalog, entity: ObjectMeta, now: datetime) -> None:
        self._query, self._catalog, self._entity, self._now = query, catalog, entity, now
        self._parameters: list[Stored] = []
        # Relationship path -> table alias and object; "" is the queried object itself.
        self._tables: dict[tuple[str, ...], tuple[str, ObjectMeta]] = {(): ("t0", entity)}
        self._joins: list[str] = []

    def plan(self, *, all_rows: bool) -> Plan:
        query = self._query
        outputs, columns, parents = self._selection()
        conditions = [] if all_rows or not self._entity.soft_delete else ["t0.IsDeleted = 0"]
        if query.where is not None:
            conditions.append(self._condition(query.where))
        order = [self._order(item) for item in query.order]
        sql = [
            f"SELECT {', '.join(outputs)} FROM {quote(self._entity.name)} AS t0",  # noqa: S608 - names from the catalog
            *self._joins,
            f"WHERE {' AND '.join(conditions)}" if conditions else "",
            f"ORDER BY {', '.join(order)}" if order else "",
            self._window(),
        ]
        text = " ".join(filter(None, sql))
        if query.count is not None:
            if query.count.path is None:
                text = f"SELECT count(*) FROM ({text})"  # noqa: S608 - made of checked parts
            elif query.limit is not None or query.offset is not None:
                # One row of an aggregate is all there is.
                message = "Aggregate queries without GROUP BY have one row: LIMIT and OFFSET make no sense"
                raise ApiError("MALFORMED_QUERY", message)
        return Plan(
            sql=text,
            parameters=tuple(self._parameters),
            entity=self._entity,
            columns=columns,
            parents=parents,
            count_alias=None if query.count is None else query.count.alias,
            ordered=bool(order),
            limited=query.limit is not None,
            has_offset=query.offset is not None,
        )

    # --- what is selected --------------------------------------------------------------------------
    def _selection(
        self,
    ) -> tuple[list[str], tuple[Selected, ...], dict[tuple[str, ...], tuple[ObjectMeta, int]]]:
        count = self._query.count
        if count is not None:
            return ["1" if count.path is None else f"count({self._column(count.path)[0]})"], (), {}
        paths = [(*self._resolve(path), path) for path in self._query.fields]
        outputs = [f"{alias}.{quote(meta.name)}" if not meta.is_derived else "NULL" for alias, meta, _, _ in paths]
        columns: list[Selected] = []
        seen: set[tuple[str, ...]] = set()
        for index, (alias, meta, parent, path) in enumerate(paths):
            full = (*parent, meta.name)
            if full in seen:
                message = f"duplicate field selected: {'.'.join(path.names)}"
                raise at(self._query.text, path.position, "INVALID_FIELD", message)
            seen.add(full)
            columns.append(Selected(full, meta, index, self._parts(alias, meta, parent, outputs)))
        parents = {}
        for parent in {c.path[:n]: None for c in columns for n in range(1, len(c.path))}:
            alias, entity = self._tables[parent]
            parents[parent] = (entity, len(outputs))
            outputs.append(f"{alias}.Id")
        # The last value is always the record's id: its address in the answer needs it.
        outputs.append("t0.Id")
        return outputs, tuple(columns), parents

    def _parts(
        self, alias: str, meta: FieldMeta, parent: tuple[str, ...], outputs: list[str]
    ) -> tuple[tuple[str, int], ...]:
        if not meta.is_derived:
            return ()
        entity = self._tables[parent][1]
        prefix = meta.name.removesuffix("Address")
        found = []
        for key, suffix in ADDRESS_PARTS.items():
            part = entity.find(f"{prefix}{suffix}")
            found.append((key, len(outputs) if part else -1))
            if part:
                outputs.append(f"{alias}.{quote(part.name)}")
        return tuple(found)

    def _window(self) -> str:
        limit, offset = self._query.limit, self._query.offset
        if limit is None and offset is None:
            return ""
        return f"LIMIT {-1 if limit is None else limit} OFFSET {offset or 0}"

    # --- names -------------------------------------------------------------------------------------
    def _resolve(self, path: Path) -> tuple[str, FieldMeta, tuple[str, ...]]:
        """Return the table alias, the field and the relationships before it; joins what is needed."""
        *before, name = path.names
        if before and before[0].lower() == self._entity.name.lower() and not self._entity.relationship(before[0]):
            before = before[1:]  # `SELECT Contact.Name FROM Contact`
        if len(before) > _LEVELS:
            raise at(self._query.text, path.position, "INVALID_FIELD", f"more than {_LEVELS} levels in a field path")
        parent: tuple[str, ...] = ()
        for relationship in before:
            parent = self._join(parent, relationship, path)
        alias, entity = self._tables[parent]
        meta = entity.find(name)
        if meta is None:
            raise no_such_field(self._query.text, path.position, name, entity.name)
        return alias, meta, parent

    def _join(self, parent: tuple[str, ...], name: str, path: Path) -> tuple[str, ...]:
        alias, entity = self._tables[parent]
        reference = entity.relationship(name)
        target = self._catalog.find(reference.reference_to[0]) if reference else None
        if reference is None or target is None:
            raise no_such_relationship(self._query.text, path.position, name)
        joined = (*parent, reference.relationship_name or name)
        if joined not in self._tables:
            new = f"t{len(self._tables)}"
            self._tables[joined] = (new, target)
            self._joins.append(f"LEFT JOIN {quote(target.name)} AS {new} ON {new}.Id = {alias}.{quote(reference.name)}")
        return joined

    def _column(self, path: Path) -> tuple[str, FieldMeta]:
        """Return the SQL of a field by which a query may filter and sort."""
        alias, meta, _ = self._resolve(path)
        if not meta.searchable:
            message = f"field '{meta.name}' can not be filtered in a query call"
            raise at(self._query.text, path.position, "INVALID_FIELD", message)
        return f"{alias}.{quote(meta.name)}", meta

    # --- conditions --------------------------------------------------------------------------------
    def _condition(self, node: Condition) -> str:
        if isinstance(node, Connection):
            return _balanced([self._condition(part) for part in node.parts], node.word)
        if isinstance(node, Negation):
            return f"NOT {self._condition(node.part)}"
        if isinstance(node, Membership):
            return self._membership(node)
        return self._comparison(node)

    def _comparison(self, node: Comparison) -> str:
        column, meta = self._column(node.path)
        if node.operator == "LIKE":
            return self._like(node, column, meta)
        if node.value.kind == "days":
            return self._days(node, column, meta)
        value = literals.comparable(self._query.text, meta, node.value)
        ranks = node.operator not in ("=", "!=")
        if ranks and (value is None or meta.type in (*IDS, "boolean")) and meta.type != "id":
            raise at(self._query.text, node.path.position, "INVALID_FIELD", f"invalid operator on {meta.type} field")
        if value is None:
            return f"{column} IS {'NOT ' if node.operator == '!=' else ''}NULL"
        sign = _SIGN[node.operator]
        if not meta.is_text:
            comparison = f"{column} {sign} {self._mark(value)}"
        elif ranks or not str(value).isascii():
            comparison = f"sf_lower({column}) {sign} {self._mark(str(value).lower())}"
        else:
            comparison = f"{column} {sign} {self._mark(value)} COLLATE NOCASE"
        if node.operator == "!=":
            return f"({column} IS NULL OR {comparison})"
        return f"({column} IS NOT NULL AND {comparison})"

    def _like(self, node: Comparison, column: str, meta: FieldMeta) -> str:
        if not meta.is_text or node.value.kind != "string":
            raise at(self._query.text, node.path.position, "INVALID_FIELD", f"invalid operator on {meta.type} field")
        pattern = literals.like_pattern(self._query.text, node.value)
        if pattern.isascii():
            comparison = f"{column} LIKE {self._mark(pattern)} ESCAPE '\\'"
        else:
            comparison = f"sf_lower({column}) LIKE {self._mark(pattern.lower())} ESCAPE '\\'"
        return f"({column} IS NOT NULL AND {comparison})"

    def _days(self, node: Comparison, column: str, meta: FieldMeta) -> str:
        first, after = literals.days(self._query.text, meta, node.value, self._now)
        match node.operator:
            case "=":
                inside = f"{column} >= {self._mark(first)} AND {column} < {self._mark(after)}"
            case "!=":
                return f"({column} IS NULL OR {column} < {self._mark(first)} OR {column} >= {self._mark(after)})"
            case "<" | ">=":
                inside = f"{column} {node.operator} {self._mark(first)}"
            case _:
                inside = f"{column} {'<' if node.operator == '<=' else '>='} {self._mark(after)}"
        return f"({column} IS NOT NULL AND {inside})"

    def _membership(self, node: Membership) -> str:
        column, meta = self._column(node.path)
        for each in node.values:
            if each.kind == "days":
                raise at(self._query.text, each.position, "MALFORMED_QUERY", f"unexpected token: '{each.text}'")
        values = [literals.comparable(self._query.text, meta, each) for each in node.values]
        given = [v for v in values if v is not None]
        finds_null = len(given) < len(values)
        tested = column
        if meta.is_text:
            # SQLite compares lists by the collation of what stands on the left.
            plain = all(str(v).isascii() for v in given)
            tested = f"{column} COLLATE NOCASE" if plain else f"sf_lower({column})"
            given = given if plain else [str(v).lower() for v in given]
        inside = f"{tested} IN ({', '.join(self._mark(v) for v in given)})" if given else "0"
        if node.negated:
            return f"({column} IS {'NOT ' if finds_null else ''}NULL {'AND' if finds_null else 'OR'} NOT ({inside}))"
        return f"({column} IS NULL OR {inside})" if finds_null else f"({column} IS NOT NULL AND {inside})"

    def _order(self, item: Order) -> str:
        alias, meta, _ = self._resolve(item.path)
        if not meta.searchable:
            message = f"field '{meta.name}' can not be sorted in a query call"
            raise at(self._query.text, item.path.position, "INVALID_FIELD", message)
        column = f"{alias}.{quote(meta.name)}"
        key = f"sf_lower({column})" if meta.is_text else column
        return f"{key} {'DESC' if item.descending else 'ASC'} NULLS {'LAST' if item.nulls_last else 'FIRST'}"

    def _mark(self, value: Stored) -> str:
        """Return a numbered placeholder: parts of the SQL may be put together in any order."""
        self._parameters.append(value)
        return f"?{len(self._parameters)}"


def _balanced(parts: list[str], word: str) -> str:
    """Join conditions in pairs of pairs: SQLite refuses chains of a thousand, which are as deep as they are long."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(parts[:middle], word)} {word} {_balanced(parts[middle:], word)})"
