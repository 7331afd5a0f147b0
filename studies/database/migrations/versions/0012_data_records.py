"""What a study was searched on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    study = sa.ForeignKey("attentune_studies.id", ondelete="CASCADE")
    op.create_table(
        "attentune_data_records",
        sa.Column("study_id", sa.Integer(), study, primary_key=True, autoincrement=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("images", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("attentune_data_records")
