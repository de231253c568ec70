"""Settings come from defaults, the environment and overrides, in this order."""

from __future__ import annotations

from dataclasses import fields

import pytest

from include.organism.settings import Settings


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
    with pytest.raises(ValueError, match=f"ORGANISM_{name.upper()}='many' is not a valid"):
        Settings.from_env()


def test_every_stream_and_group_has_its_own_keys() -> None:
    settings = Settings(stream="s", group="g", consumer="c")
    assert (settings.ledger_key, settings.claimed_consumer, settings.dead_stream) == ("s|g", "c:claimed", "s:dead")
