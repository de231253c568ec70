"""SOQL: parsed by a grammar, checked against the catalog, answered by SQLite."""

from __future__ import annotations

from local.salesforce.soql.compiler import compile_query
from local.salesforce.soql.parser import parse
from local.salesforce.soql.plan import Plan, Selected

__all__ = ["Plan", "Selected", "compile_query", "parse"]
