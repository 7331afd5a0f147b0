"""Stars, tags and notes of trials, which readers of the dashboard make."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    study = sa.ForeignKey("attentune_studies.id", ondelete="CASCADE")
    op.create_table(
        "attentune_trial_marks",
        sa.Column("study_id", sa.Integer(), study, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("starred", sa.Boolean(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("attentune_trial_marks")
