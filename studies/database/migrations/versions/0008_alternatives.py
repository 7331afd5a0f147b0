"""Alternatives are trained once with each seed, beside the bare backbone with the same seed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLE = "attentune_trials"
NOT_FAILED = "state <> 'failed'"


def upgrade() -> None:
    op.drop_index("attentune_trials_once", TABLE)
    _create(
        "attentune_trials_once",
        "architecture_key",
        f"{NOT_FAILED} and role = replace(role, ':', '')",
    )
    _create(
        "attentune_trials_alternative_once",
        "role",
        f"{NOT_FAILED} and role <> replace(role, ':', '')",
    )


def downgrade() -> None:
    op.drop_index("attentune_trials_alternative_once", TABLE)
    op.drop_index("attentune_trials_once", TABLE)
    _create("attentune_trials_once", "architecture_key", NOT_FAILED)


def _create(name: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(
        name,
        TABLE,
        ["study_id", column, "seed"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )
