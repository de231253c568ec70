"""Settings come from defaults, the environment and overrides, in this order."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from include.operations.errors import ErrorClass, InputRejected, classify
from include.organism.settings import RANGES, Settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in fields(Settings):
        monkeypatch.delenv(f"ORGANISM_{field.name.upper()}", raising=False)


def test_defaults_are_the_contract() -> None:
    settings = Settings.from_env()
    assert (settings.stream, settings.group, settings.dead_stream) == (
        "interactions",
        "graph_builder",
        "interactions:dead",
    )
    assert (settings.half_life_days, settings.time_budget_s) == (14.0, 240.0)
    assert settings.half_life_ms == 1_209_600_000
    assert settings.dedupe_window_ms == 259_200_000


def test_the_environment_overrides_a_default_and_an_argument_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGANISM_BATCH_SIZE", "7")
    monkeypatch.setenv("ORGANISM_HALF_LIFE_DAYS", "2.5")
    monkeypatch.setenv("ORGANISM_STREAM", "other")
    assert Settings.from_env() == Settings(batch_size=7, half_life_days=2.5, stream="other")
    assert Settings.from_env(batch_size=9, half_life_days=None) == Settings(
        batch_size=9, half_life_days=2.5, stream="other"
    )


@pytest.mark.parametrize("name", [field.name for field in fields(Settings) if field.type in {"int", "float"}])
def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"ORGANISM_{name.upper()}", "many")
    with pytest.raises(InputRejected, match=f"ORGANISM_{name.upper()} is not a (whole )?number from"):
        Settings.from_env()


OUTSIDE = [(name, value) for name in RANGES for value in ("", "nan", "inf", "-inf", "-1", "1e300")]
OUTSIDE += [("batch_size", "0"), ("batch_size", "2.5"), ("half_life_days", "0")]


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_a_value_that_makes_no_sense_names_the_variable_and_the_range(monkeypatch, name, value) -> None:
    monkeypatch.setenv(f"ORGANISM_{name.upper()}", value)
    least, most = (f"{each:,.10g}" for each in RANGES[name])
    with pytest.raises(InputRejected, match=re.escape(f"from {least} to {most}")) as caught:
        Settings.from_env()
    assert str(caught.value).startswith(f"ORGANISM_{name.upper()} is not")
    assert classify(caught.value).error_class is ErrorClass.VALIDATION


@pytest.mark.parametrize("name", ["stream", "group", "consumer"])
@pytest.mark.parametrize("value", ["", " ", "a b", "a\n", "x" * 201, "a\x07"])
def test_a_name_that_is_none_names_the_variable(monkeypatch, name, value) -> None:
    monkeypatch.setenv(f"ORGANISM_{name.upper()}", value)
    with pytest.raises(InputRejected, match=f"ORGANISM_{name.upper()} is not a name"):
        Settings.from_env()


def test_a_wrong_parameter_of_a_run_is_named_as_one() -> None:
    with pytest.raises(InputRejected, match="the parameter batch_size is not a whole number from 1 to 50,000"):
        Settings.from_env(batch_size=0)


def test_the_limits_themselves_and_the_defaults_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name, limits in RANGES.items():
        assert limits[0] <= getattr(defaults, name) <= limits[1]
        for limit in limits:
            monkeypatch.setenv(f"ORGANISM_{name.upper()}", f"{limit:.10g}")
            assert getattr(Settings.from_env(), name) == limit
    assert {field.name for field in fields(Settings) if field.type != "str"} == RANGES.keys()


def test_every_stream_and_group_has_its_own_keys() -> None:
    settings = Settings(stream="s", group="g", consumer="c")
    assert (settings.ledger_key, settings.claimed_consumer, settings.dead_stream) == ("s|g", "c:claimed", "s:dead")
