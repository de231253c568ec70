"""Old files go, then the oldest of too many; never one in use."""

import os
from datetime import timedelta

import pytest

from include.operations.errors import InputRejected
from include.operations.housekeeping.files import FRESH_S, prune
from include.operations.housekeeping.logs import prune_logs
from include.operations.housekeeping.settings import Retention, folders, schedule
from include.operations.housekeeping.tables import RULES

NOW = 1_800_000_000.0
DAY = timedelta(days=1).total_seconds()


def write(path, days_old, size=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - days_old * DAY,) * 2)
    return path


def left(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_by_age(tmp_path):
    write(tmp_path / "a" / "b" / "old.log", 31)
    write(tmp_path / "a" / "young.log", 29)
    done = prune(tmp_path, keep_days=30, now=NOW)
    assert (done.files, done.bytes, done.left_bytes) == (1, 100, 100)
    assert left(tmp_path) == {"a/young.log"}
    assert not (tmp_path / "a" / "b").exists()


def test_by_size_the_oldest_first(tmp_path):
    for days in range(1, 11):
        write(tmp_path / f"{days:02}.log", days)
    done = prune(tmp_path, keep_days=30, max_bytes=450, now=NOW)
    assert left(tmp_path) == {"01.log", "02.log", "03.log", "04.log"}
    assert (done.files, done.left_bytes) == (6, 400)


def test_what_is_in_use_or_fresh_stays_however_large(tmp_path):
    used = write(tmp_path / "used.log", 100, 10_000)
    write(tmp_path / "other.log", 50, 10_000)
    write(tmp_path / "fresh.log", FRESH_S / DAY - 0.01, 10_000)
    prune(tmp_path, keep_days=1, max_bytes=1, in_use=lambda path: path == used, now=NOW)
    assert left(tmp_path) == {"used.log", "fresh.log"}


def test_links_are_not_followed(tmp_path):
    outside = write(tmp_path / "outside" / "precious", 400)
    folder = tmp_path / "logs"
    write(folder / "old.log", 400)
    (folder / "latest").symlink_to(outside.parent, target_is_directory=True)
    (folder / "file").symlink_to(outside)
    prune(folder, keep_days=1, now=NOW)
    assert outside.exists()
    assert left(folder) == {"latest", "file"}


def test_a_missing_folder_is_empty(tmp_path):
    assert prune(tmp_path / "none", keep_days=1).files == 0


def test_logs_of_a_run_that_goes_on_stay(tmp_path):
    task = "task_id=t/attempt=1.log"
    going_on, ended = "run_id=scheduled__2026-01-01T00:00:00+00:00", "run_id=manual__1"
    for run in (going_on, ended):
        write(tmp_path / "dag_id=a" / run / task, 400)
    write(tmp_path / "dag_id=b" / going_on / task, 400)
    write(tmp_path / "dag_processor" / "2025-01-01" / "x.log", 400)
    unfinished = {("a", "scheduled__2026-01-01T00:00:00+00:00")}
    done = prune_logs(tmp_path, Retention(log_max_gb=1e-9), unfinished, NOW)
    assert left(tmp_path) == {f"dag_id=a/{going_on}/{task}"}
    assert done.files == 3
    assert prune_logs(tmp_path, Retention(), set(), NOW).files == 1


class TestSettings:
    def test_from_environment(self):
        found = Retention.from_env({"UPKEEP_LOG_DAYS": "7", "UPKEEP_STREAM_HOURS": "1.5", "UPKEEP_LOG_MAX_GB": ""})
        assert found == Retention(log_days=7, stream_hours=1.5)

    @pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan"])
    def test_unusable(self, text):
        with pytest.raises(InputRejected, match="UPKEEP_METADATA_DAYS"):
            Retention.from_env({"UPKEEP_METADATA_DAYS": text})

    def test_a_table_of_its_own(self):
        rule = next(rule for rule in RULES if rule.table == "run_error")
        assert rule.kept_days({"UPKEEP_RUN_ERROR_DAYS": "3"}) == 3
        assert rule.kept_days({}) == rule.days
        with pytest.raises(InputRejected, match="UPKEEP_RUN_ERROR_DAYS"):
            rule.kept_days({"UPKEEP_RUN_ERROR_DAYS": "0"})

    def test_schedule(self):
        assert schedule({}) == schedule({"UPKEEP_SCHEDULE": ""}) == "30 2 * * *"
        assert schedule({"UPKEEP_SCHEDULE": "0 4 * * *"}) == "0 4 * * *"
        assert schedule({"UPKEEP_SCHEDULE": "none"}) is None

    def test_folders(self, tmp_path):
        assert folders("X", {"X": f"{tmp_path}{os.pathsep}{os.pathsep}/b"}) == [tmp_path, type(tmp_path)("/b")]
        assert folders("X", {}) == []
