"""docs/backup.md has the defaults and the grants that the code has."""

import re
from dataclasses import fields
from pathlib import Path

from include.operations.backup.settings import BackupSettings
from include.operations.housekeeping import metadata
from include.operations.housekeeping.settings import Retention
from include.operations.housekeeping.tables import RULES

PAGE = (Path(__file__).parents[4] / "docs" / "backup.md").read_text()


def test_every_retention_is_in_the_table():
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \|", PAGE, re.MULTILINE))
    wanted = {f"UPKEEP_{field.name.upper()}": f"{field.default:g}" for field in fields(Retention)}
    wanted |= {rule.variable: f"{rule.days:g}" for rule in RULES}
    settings = BackupSettings(Path())
    wanted |= {"BACKUP_KEEP_DAYS": f"{settings.keep_days:g}", "BACKUP_MIN_FREE_MB": f"{settings.min_free_mb:g}"}
    assert rows == wanted


def test_the_grants_are_those_of_the_code():
    page = " ".join(PAGE.split())
    for statement in metadata.grants("airflow"):
        assert statement.as_string(None).replace('"', "") + ";" in page
