"""The last transaction of each writer: whether a COMMIT without an answer took effect."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attentune_writers",
        sa.Column("writer", sa.String(40), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.Double(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("attentune_writers")
