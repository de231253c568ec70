"""Where things are and what the parts are called."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE_DIR = ROOT / ".local"
PARTS = ("postgres", "redis", "neo4j", "alert-sink", "salesforce", "airflow")
