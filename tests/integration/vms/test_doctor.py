"""The doctor looks at Salesforce: login, version, quotas, objects."""

import json
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from include.operations.doctor import Level
from include.operations.doctor import salesforce as subject
from include.operations.doctor.servers import Clocks


@pytest.fixture
def check(salesforce, monkeypatch):
    def examine(**extra):
        parts = urlsplit(salesforce.connection_uri)
        query = urlencode({**dict(parse_qsl(parts.query)), **extra})
        monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", urlunsplit(parts._replace(query=query)))
        return list(subject.check(Clocks()))

    return examine


def bad(findings):
    return [(one.level, one.found) for one in findings if one.level is not Level.OK]


def test_all_is_well(check):
    found = check()
    assert bad(found) == []
    shown = json.dumps(found)
    for words in ("client credentials", "62.0", "API calls", "Bulk query jobs", "objects can be read"):
        assert words in shown


def test_no_connection(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_SALESFORCE", raising=False)
    ((level, said),) = bad(subject.check(Clocks()))
    assert level is Level.WARN
    assert "not synced" in said


def test_unknown_version(check):
    ((level, said), *_) = bad(check(version="99.0"))
    assert level is Level.FAIL
    assert "99.0" in said


def test_spent_quota(check, salesforce):
    salesforce.quotas(DailyApiRequests={"max": 100, "used": 85})
    ((level, said),) = bad(check())
    assert level is Level.WARN
    assert "20% are reserved" in said


def test_a_field_that_a_sync_needs_is_gone(check, salesforce):
    salesforce.store.remove_field("npe5__Affiliation__c", "npe5__Status__c")
    ((level, said),) = bad(check())
    assert level is Level.FAIL
    assert "npe5__Affiliation__c has no npe5__Status__c" in said
