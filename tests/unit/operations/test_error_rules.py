"""The rule tables name things that exist."""

import importlib

import pytest

from include.operations import error_rules as rules
from include.operations.error_readers import READERS


@pytest.mark.parametrize("name", sorted({*rules.RULES, *rules.NEVER_AGAIN}))
def test_every_rule_names_a_real_exception_class(name):
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    assert issubclass(found, BaseException)
    assert f"{found.__module__}.{found.__qualname__}" == name, "an alias would never be found in the MRO"


@pytest.mark.parametrize(("name", "rule"), rules.RULES.items())
def test_rules_are_complete(name, rule):
    assert not rule.reader or rule.reader in READERS
    assert rule.verdict is not None or rule.reader
    assert not rule.inner or rule.refine


def test_auth_and_validation_are_never_transient():
    tables = (
        rules.HTTP_STATUS,
        rules.HTTP_HUNDREDS,
        rules.SQLSTATE,
        rules.SQLSTATE_CLASS,
        rules.NEO4J_CODE,
        rules.NEO4J_PREFIX,
        rules.REDIS_CODE,
        rules.ERRNO,
        rules.AIRFLOW_API,
    )
    verdicts = {verdict for table in tables for verdict in table.values()}
    verdicts |= {rule.verdict for rule in rules.RULES.values() if rule.verdict is not None}
    for verdict in verdicts:
        if verdict.error_class in {rules.ErrorClass.AUTH, rules.ErrorClass.VALIDATION}:
            assert not verdict.transient


def test_sqlstates_are_postgresql_codes():
    from psycopg.errors import lookup

    for code in rules.SQLSTATE:
        assert lookup(code).sqlstate == code


def test_every_class_says_what_to_do():
    assert set(rules.WHAT_TO_DO) == set(rules.ErrorClass)
    assert len(rules.ErrorClass) == 7
