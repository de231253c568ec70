"""A sync is a small process: what it does not need is not imported."""

import subprocess
import sys

HEAVY = ("airflow", "alembic", "numpy", "pandas", "polars", "pyarrow", "pydantic", "sqlalchemy")
PROGRAM = f"""
import sys
from include.vms import caches, registry, sync
from include.vms.salesforce import client, settings
registry.objects()
print(sorted(set({HEAVY}) & set(sys.modules)))
"""


def test_a_sync_needs_neither_airflow_nor_data_frames():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
