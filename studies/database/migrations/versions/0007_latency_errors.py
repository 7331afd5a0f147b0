"""Standard errors of the latency of a trial."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = "attentune_trials"
COLUMNS = ("latency_ms_error", "latency_ratio_error")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column(TABLE, sa.Column(name, sa.Double()))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column(TABLE, name)
