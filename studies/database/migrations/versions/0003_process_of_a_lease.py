"""Columns that identify the process of a lease: boot, PID namespace, start time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = "attentune_leases"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("boot_id", sa.String(64)))
    op.add_column(TABLE, sa.Column("pid_namespace", sa.String(64)))
    op.add_column(TABLE, sa.Column("process_start", sa.Double()))


def downgrade() -> None:
    for column in ("process_start", "pid_namespace", "boot_id"):
        op.drop_column(TABLE, column)
