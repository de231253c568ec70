"""The session with Salesforce: ways in, tokens that end, usage, and what never shows in logs."""

import logging
from dataclasses import replace

import pytest

from include import connections
from include.operations.errors import ErrorClass, InputRejected, classify
from include.vms.salesforce import rest, soql
from include.vms.salesforce.client import Salesforce
from include.vms.salesforce.errors import SalesforceFailed
from tests.integration.vms.source import session, settings

COUNT = soql.count("Account")


@pytest.mark.parametrize("method", ["client_credentials", "jwt"])
def test_logs_in_and_asks(salesforce, method):
    with Salesforce(settings(salesforce, method)) as client:
        page = rest.first_page(client, COUNT)
        assert (page.total, client.calls, client.quota.used) == (0, 1, 1)


def test_connection_id_gives_a_session(salesforce, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", salesforce.connection_uri)
    with connections.salesforce() as client:
        assert rest.first_page(client, COUNT).total == 0


def test_wrong_secret_is_auth_and_not_repeated(salesforce):
    wrong = replace(settings(salesforce), consumer_secret="wrong-secret")
    with Salesforce(wrong) as client, pytest.raises(SalesforceFailed) as refused:
        client.login()
    found = classify(refused.value)
    assert (found.error_class, found.transient, found.service) == (ErrorClass.AUTH, False, "salesforce")
    assert len(salesforce.requests("/services/oauth2/token")) == 1


def test_broken_private_key_says_nothing_of_itself(salesforce):
    wrong = replace(settings(salesforce, "jwt"), private_key="-----BEGIN PRIVATE KEY-----\nsecret-text\n")
    with Salesforce(wrong) as client, pytest.raises(InputRejected, match="RSA key") as refused:
        client.login()
    assert "secret-text" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_revoked_token_is_renewed_once(salesforce, caplog):
    caplog.set_level(logging.DEBUG)
    with session(salesforce) as client:
        rest.first_page(client, COUNT)
        token = client._token.value
        salesforce.sessions(revoke=True)
        assert rest.first_page(client, COUNT).total == 0
        assert len(salesforce.requests("/services/oauth2/token")) == 2
        for secret in (token, client._token.value, client.settings.consumer_secret):
            assert secret not in caplog.text


def test_token_that_is_refused_again_and_again_is_auth(salesforce):
    salesforce.sessions(lifetime=-1)
    with session(salesforce) as client, pytest.raises(SalesforceFailed) as refused:
        rest.first_page(client, COUNT)
    assert classify(refused.value).error_class is ErrorClass.AUTH
    assert len(salesforce.requests("/services/oauth2/token")) == 2


def test_both_forms_of_the_usage_header(salesforce):
    with session(salesforce) as client:
        salesforce.quotas(bursts="1/750", DailyApiRequests={"max": 100, "used": 40})
        rest.first_page(client, COUNT)
        assert (client.quota.used, client.quota.limit) == (41, 100)


def test_daily_limit_of_the_org_is_the_daily_class(salesforce):
    salesforce.quotas(DailyApiRequests={"max": 10, "used": 10})
    with session(salesforce) as client, pytest.raises(SalesforceFailed) as refused:
        rest.first_page(client, COUNT)
    found = classify(refused.value)
    assert (found.error_class, found.transient, found.code) == (ErrorClass.RATE_LIMIT, False, "REQUEST_LIMIT_EXCEEDED")
    assert found.retry_after


def test_error_texts_hold_codes_and_fields(salesforce):
    with session(salesforce) as client, pytest.raises(SalesforceFailed, match=r"INVALID_FIELD.*Nonsense__c") as refused:
        rest.first_page(client, "SELECT Nonsense__c FROM Account")
    assert classify(refused.value).error_class is ErrorClass.VALIDATION


def test_survey_is_one_call_and_falls_back_to_single_ones(salesforce, monkeypatch):
    asked = rest.Questions("Account", active=COUNT, expected=COUNT, query="SELECT Id FROM Account")
    with session(salesforce) as client:
        together = rest.survey(client, asked)
        assert client.calls == 1

        def refuse(*_, **__):
            raise SalesforceFailed("composite", 404, [{"errorCode": "NOT_FOUND"}], {})

        monkeypatch.setattr(client, "post", refuse)
        apart = rest.survey(client, asked)
        assert client.calls == 5
        assert apart.describe.hash == together.describe.hash
        assert (apart.active, apart.page) == (together.active, together.page)
