"""When the syncs run."""

from include.vms.dag_factory import schedule


def test_schedule():
    assert schedule("8 * * * *", {}) == "8 * * * *"
    assert schedule("8 * * * *", {"SALESFORCE_SCHEDULE": ""}) == "8 * * * *"
    assert schedule("8 * * * *", {"SALESFORCE_SCHEDULE": "none"}) is None
