"""What the connection `salesforce` may say, and what is refused."""

import json

import pytest
from airflow.sdk import Connection

from include.operations.errors import InputRejected
from include.vms.salesforce.settings import RESERVE_VARIABLE, Grant, Settings, checked_url

APP = {"consumer_key": "key", "consumer_secret": "secret-of-the-app"}


def settings(login=None, password=None, **extra):
    text = json.dumps(extra)
    return Settings.from_connection(
        Connection(conn_id="salesforce", conn_type="salesforce", login=login, password=password, extra=text)
    )


def test_client_credentials():
    found = settings(**APP, domain="myorg.my")
    assert (found.grant, found.login_url) == (Grant.CLIENT_CREDENTIALS, "https://myorg.my.salesforce.com")
    assert found.version == "62.0"


def test_jwt_of_a_sandbox_speaks_to_its_own_audience():
    found = settings("sync@example.org", consumer_key="key", private_key="-----BEGIN\\nKEY", domain="test")
    assert (found.grant, found.audience) == (Grant.JWT, "https://test.salesforce.com")
    assert found.private_key == "-----BEGIN\nKEY"
    mine = settings("u", consumer_key="k", private_key="x", instance_url="https://org--dev.sandbox.my.salesforce.com")
    assert mine.audience == "https://test.salesforce.com"


def test_private_key_of_a_file(tmp_path):
    file = tmp_path / "key.pem"
    file.write_text("PEM")
    assert settings("u", consumer_key="key", private_key_file_path=str(file)).private_key == "PEM"
    with pytest.raises(InputRejected, match="private_key_file_path"):
        settings("u", consumer_key="key", private_key_file_path=str(tmp_path / "none"))


def test_long_names_of_extras_and_refresh_token():
    long = {f"extra__salesforce__{name}": value for name, value in APP.items()}
    assert settings(**long).consumer_key == "key"
    assert settings(consumer_key="key", refresh_token="again").grant is Grant.REFRESH_TOKEN


@pytest.mark.parametrize("extra", [{}, {"security_token": "t"}, APP])
def test_password_is_refused_with_the_reason(extra):
    with pytest.raises(InputRejected, match="Summer '27"):
        settings("user@example.org", "password", **extra)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({}, "consumer_key"),
        ({"consumer_key": "key"}, "consumer_secret"),
        ({"auth_method": "soap"}, "auth_method"),
        ({**APP, "version": "latest"}, "version"),
        ({**APP, "version": "41.0"}, "version"),
        ({**APP, "domain": "evil.org/?x="}, "domain"),
        ({"consumer_key": "key", "private_key": "x"}, "needs a user"),
    ],
)
def test_what_is_missing_is_named(extra, words):
    with pytest.raises(InputRejected, match=words):
        settings(**extra)


@pytest.mark.parametrize(
    "url", ["http://org.my.salesforce.com", "ftp://x.y", "https://user@x.y", "http://10.0.0.1", ""]
)
def test_tokens_go_over_https_only(url):
    with pytest.raises(InputRejected, match="https"):
        checked_url(url)


def test_this_machine_needs_no_https():
    assert checked_url("http://127.0.0.1:8080/x?y") == "http://127.0.0.1:8080"
    assert checked_url("http://[::1]:80") == "http://[::1]:80"
    assert checked_url("org.my.salesforce.com") == "https://org.my.salesforce.com"


@pytest.mark.parametrize("text", ["1", "-0.1", "20%", "nan"])
def test_a_reserve_that_is_no_share_is_refused(monkeypatch, text):
    monkeypatch.setenv(RESERVE_VARIABLE, text)
    with pytest.raises(InputRejected, match=RESERVE_VARIABLE):
        settings(**APP)


def test_secrets_are_in_no_representation(monkeypatch):
    monkeypatch.setenv(RESERVE_VARIABLE, "0.5")
    found = settings(**APP)
    assert found.reserve_share == 0.5
    assert "secret-of-the-app" not in repr(found)
    assert found.secrets == ("secret-of-the-app",)
