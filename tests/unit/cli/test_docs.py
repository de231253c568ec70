"""The pages say what the code does."""

import re
from dataclasses import fields
from pathlib import Path

from typer.main import get_command

from include.cli.__main__ import app
from include.organism.roster import ALIASES
from include.organism.settings import RANGES, Settings

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_every_setting_is_in_the_table_with_its_default():
    part = (DOCS / "configuration.md").read_text().partition("## Stream and graph")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", part, re.MULTILINE)
    settings = {
        field.name.upper(): f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        for field in fields(Settings)
    }
    assert dict(rows) == settings
    for name, (least, most) in RANGES.items():
        assert re.search(rf"^\| `{name.upper()}` .* \| {least:,.10g} to {most:,.10g} \|", part, re.MULTILINE), name


def test_every_command_and_option_is_on_the_page():
    page = (DOCS / "cli.md").read_text()
    for name, command in get_command(app).commands.items():
        for part in [name, *getattr(command, "commands", {})]:
            assert re.search(rf"\b{part}\b", page), part
        for inner in [command, *getattr(command, "commands", {}).values()]:
            options = {option for param in inner.params for option in param.opts if option.startswith("--")}
            missing = {option for option in options - {"--help"} if option not in page}
            assert missing == set(), (name, inner.name)


def test_every_alias_of_the_roster_is_on_the_page():
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (`.*`) \|$", (DOCS / "cli.md").read_text(), re.MULTILINE))
    assert {name: tuple(re.findall(r"`(\w+)`", text)) for name, text in rows.items()} == ALIASES
