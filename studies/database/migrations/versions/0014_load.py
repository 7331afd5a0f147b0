"""The load of CPU and GPU while a trial was trained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

COLUMNS = ("cpu_load", "gpu_load")


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column("attentune_trials", sa.Column(column, sa.Double()))


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("attentune_trials", column)
