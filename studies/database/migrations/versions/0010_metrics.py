"""Metrics of complete trials besides their accuracy."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    trial = sa.ForeignKey("attentune_trials.id", ondelete="CASCADE")
    op.create_table(
        "attentune_metrics",
        sa.Column("trial_id", sa.Integer(), trial, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.Double()),
    )


def downgrade() -> None:
    op.drop_table("attentune_metrics")
