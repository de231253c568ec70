"""Addresses a message points to."""

from __future__ import annotations

from include.operations.alerts.settings import Settings


def airflow_url() -> str:
    """Where Airflow's UI is, from its own setting `[api] base_url`; empty when that is not set."""
    from airflow.sdk import conf

    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def runbook_file(runbook: str) -> str:
    """The page of a runbook in the repository: `stream#lost` is docs/runbooks/stream.md#lost."""
    page, hash_sign, anchor = runbook.partition("#")
    return f"docs/runbooks/{page}.md{hash_sign}{anchor}"


def runbook_url(runbook: str, settings: Settings) -> str:
    """The page of a runbook for a browser; empty unless `ALERT_DOCS_URL` is set."""
    file = runbook_file(runbook).removeprefix("docs")
    return f"{settings.docs_url}{file}" if runbook and settings.docs_url else ""
