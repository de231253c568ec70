"""Every environment variable that the code reads is in docs/configuration.md, or on the page that it names for it."""

import ast
import re
from dataclasses import fields

import pytest

from include.operations.housekeeping.settings import Retention
from include.operations.housekeeping.tables import RULES
from include.operations.watchdog.pipeline_checks import FRESHNESS
from include.operations.watchdog.thresholds import THRESHOLDS
from include.organism.graph_metrics.settings import MetricSettings
from include.organism.interventions.settings import Settings as InterventionSettings
from include.organism.settings import Settings
from tests.unit.packaging.files import CONFIGURATION, ROOT, constants

# What a variable of ours begins with.
_OWNERS = "ALERT|BACKUP|FAULT|INTERVENTION|LOCAL|ORGANISM|PIPELINE|UPKEEP|WATCHDOG|AIRFLOW_API"
OURS = re.compile(rf"(?:{_OWNERS})_[A-Z][A-Z_0-9]*")
# Those have a table on a page of their own.
PAGES = {
    "BACKUP_": "backup.md",
    "UPKEEP_": "backup.md",
    "WATCHDOG_": "thresholds.md",
    "INTERVENTION_": "interventions.md",
}
READ = ("get", "getenv", "pop", "setdefault")


def read_by(file):
    """Names of the variables that a module reads, as far as they stand in it as texts."""
    known = constants(file)
    tree = ast.parse(file.read_text())
    # Codes of errors look alike.
    codes = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and "code" in _targets(node)
    }
    for node in ast.walk(tree):
        if id(node) in codes:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
            yield node.value
        name = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READ and node.args:
            name = node.args[0] if "environ" in ast.unparse(node.func.value) or node.func.attr == "getenv" else None
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            name = node.slice
        elif isinstance(node, ast.Compare) and any(ast.unparse(each).endswith("environ") for each in node.comparators):
            name = node.left
        if isinstance(name, ast.Constant):
            yield name.value
        elif isinstance(name, ast.Name) and name.id in known:
            yield known[name.id]


def _targets(node):
    return [ast.unparse(each) for each in (node.targets if isinstance(node, ast.Assign) else [node.target])]


def every_variable():
    found = {name for file in (ROOT / "include").rglob("*.py") for name in read_by(file)}
    # Names that are put together.
    found |= {f"ORGANISM_{field.name.upper()}" for field in fields(Settings)}
    found |= {f"ORGANISM_{field.name.upper()}" for field in fields(MetricSettings)}
    found |= {f"INTERVENTION_{field.name.upper()}" for field in fields(InterventionSettings)}
    found |= {f"UPKEEP_{field.name.upper()}" for field in fields(Retention)}
    found |= {each.variable for each in (*THRESHOLDS.values(), *FRESHNESS, *RULES)}
    alerts = (ROOT / "include" / "operations" / "alerts" / "settings.py").read_text()
    found |= {f"ALERT_{name}" for name in re.findall(r'(?:text|number)\("([A-Z_0-9]+)"', alerts)}
    # Each object has its own.
    found.discard(THRESHOLDS["freshness"].variable)
    # Airflow's own options are in Airflow's documentation.
    return sorted(name for name in found if not name.startswith("AIRFLOW__"))


@pytest.mark.parametrize("variable", every_variable())
def test_is_documented(variable):
    name = variable.removeprefix("ORGANISM_")
    page = next((page for prefix, page in PAGES.items() if variable.startswith(prefix)), None)
    if page is not None and f"({page}" in CONFIGURATION:
        text = CONFIGURATION + (ROOT / "docs" / page).read_text()
    else:
        text = CONFIGURATION
    assert f"`{name}`" in text, f"{variable} is not in docs/configuration.md"


def test_the_search_finds_what_is_read():
    """Each way of reading has one here, so that the search cannot become blind in silence."""
    assert {
        *("ORGANISM_STREAM", "ALERT_BURST_S", "ALERT_STATE_DIR", "BACKUP_PG_BIN", "UPKEEP_LOG_DAYS", "UPKEEP_SCHEDULE"),
        *("WATCHDOG_DISK", "WATCHDOG_FRESHNESS_PEOPLE_GRAPH", "WATCHDOG_STATE", "PIPELINE_LOG_FORMAT", "TMPDIR"),
        *("AIRFLOW_API_URL", "AIRFLOW_HOME", "FAULT_AT", "XDG_STATE_HOME", "MPLCONFIGDIR"),
    } <= set(every_variable())
