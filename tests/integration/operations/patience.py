"""Alerts that wait for a loaded machine: their time limits have tests of their own."""

from __future__ import annotations

import pytest

from include.operations.alerts import report
from include.operations.alerts.channels import email, sentry, slack

# Of production, in seconds: for all of it, for one answer, for Sentry's queue.
REAL_LIMITS = report.BUDGET_S, slack.READ_S, sentry._FLUSH_S


def set_limits(patch: pytest.MonkeyPatch, budget_s: float, read_s: float, flush_s: float) -> None:
    """Change the time limits of alerts."""
    patch.setattr(report, "BUDGET_S", budget_s)
    for module in (slack, email, sentry):
        patch.setattr(module, "READ_S", read_s)
    patch.setattr(sentry, "_FLUSH_S", flush_s)


def patient_alerts(patch: pytest.MonkeyPatch) -> None:
    """Leave so much time that the machine's speed does not decide what arrives."""
    set_limits(patch, 60.0, 30.0, 30.0)
