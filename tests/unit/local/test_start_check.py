"""`make up` does not start Airflow with settings or secrets that must not be."""

import pytest

from local.errors import PartError
from local.system import LocalSystem


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system with what the user has exported before `make up`."""

    def make(**exported):
        for name, value in exported.items():
            monkeypatch.setenv(name, value)
        return LocalSystem(tmp_path, usual_ports=False)

    return make


def test_the_systems_own_settings_are_as_they_must_be(system):
    assert system()._examine() == "as they must be"


def test_a_default_password_of_a_server_elsewhere_is_refused_and_named(system):
    with pytest.raises(PartError) as refused:
        system(AIRFLOW_CONN_WAREHOUSE="postgres://postgres:postgres@db.internal/warehouse")._examine()
    text = str(refused.value)
    assert text.startswith("settings: fail secrets: the password of warehouse is the user's name -> ")
    assert "docs/runbooks/secrets.md" in text


def test_task_logs_that_would_not_be_cleaned_are_refused(system):
    class_ = "airflow.config_templates.airflow_local_settings.DEFAULT_LOGGING_CONFIG"
    with pytest.raises(PartError, match="not cleaned of secrets"):
        system(AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS=class_)._examine()
