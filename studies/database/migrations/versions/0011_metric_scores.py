"""The score of the metric that a study searches for, if that is not the accuracy."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = ("attentune_trials", "attentune_epochs")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("metric_score", sa.Double()))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "metric_score")
