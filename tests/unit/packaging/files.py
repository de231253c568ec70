"""What the packaging tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def env_example():
    """Names and values of .env.example."""
    lines = (line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)
