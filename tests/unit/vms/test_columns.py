"""Names of columns, and the organisation's time zone."""

import pytest

from include.operations.errors import InputRejected
from include.vms import columns


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("Name", "name"),
        ("BillingPostalCode", "billing_postal_code"),
        ("Connector_User_ID__c", "connector_user_id"),
        ("Connector_SignUp_Role__c", "connector_sign_up_role"),
        ("npe01__Work_Address__c", "work_address"),
        ("npsp__Do_Not_Contact__c", "do_not_contact"),
        ("Connector_Last_Login_Date_Time__c", "connector_last_login_date_time"),
    ],
)
def test_a_column_is_named_after_its_field(field, column):
    assert columns.snake(field) == column


def test_the_time_zone_is_the_one_that_is_set(monkeypatch):
    monkeypatch.delenv("VMS_TIME_ZONE", raising=False)
    assert columns.time_zone() == "America/Chicago"
    monkeypatch.setenv("VMS_TIME_ZONE", " ")
    assert columns.time_zone() == "America/Chicago"
    monkeypatch.setenv("VMS_TIME_ZONE", "Europe/Berlin")
    assert columns.local_date("{X}") == "({X} AT TIME ZONE 'Europe/Berlin')::date"


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "'; DROP TABLE x; --", "../../etc/passwd", "/etc/localtime", "America"]
)
def test_what_is_no_time_zone_never_reaches_the_sql(monkeypatch, name):
    monkeypatch.setenv("VMS_TIME_ZONE", name)
    with pytest.raises(InputRejected, match="VMS_TIME_ZONE"):
        columns.time_zone()
