"""Scenarios without mean outcomes: those of two runs, about slightly other people, could be subtracted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
_COMMENTS = {
    "baseline_mean": "mean outcome of all people in the newest period",
    "new_mean": "the same under the scenario",
}


def upgrade() -> None:
    """Drop the means; the change and its interval stay."""
    for name in _COMMENTS:
        op.drop_column("causal_counterfactual", name, schema="organism")


def downgrade() -> None:
    """The columns again, empty."""
    for name, comment in _COMMENTS.items():
        column = sa.Column(name, sa.Double, nullable=True, comment=comment)
        op.add_column("causal_counterfactual", column, schema="organism")
