"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WHEN = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _studies()
    _trials()
    _what_happened()


def downgrade() -> None:
    for name in (
        "leases",
        "rejections",
        "failures",
        "epochs",
        "trials",
        "environments",
        "architectures",
        "studies",
    ):
        op.drop_table(f"attentune_{name}")


def _studies() -> None:
    op.create_table(
        "attentune_studies",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("folder", sa.String(40), nullable=False, unique=True),
        sa.Column("created_at", WHEN, nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("backbone", sa.String(200), nullable=False),
        sa.Column("objectives", sa.JSON(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("spent_seconds", sa.Double(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "attentune_architectures",
        sa.Column("key", sa.String(12), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("backbone", sa.String(200), nullable=False),
    )
    op.create_table(
        "attentune_environments",
        sa.Column("digest", sa.String(16), primary_key=True),
        sa.Column("facts", sa.JSON(), nullable=False),
    )


def _trials() -> None:
    op.create_table(
        "attentune_trials",
        sa.Column("id", sa.Integer(), primary_key=True),
        _belongs_to("study_id", "attentune_studies.id"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "architecture_key",
            sa.String(12),
            sa.ForeignKey("attentune_architectures.key"),
            nullable=False,
        ),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        *_numbers("accuracy"),
        sa.Column("params", sa.BigInteger()),
        sa.Column("macs", sa.BigInteger()),
        *_numbers("latency_ms", "latency_ratio", "memory_mib"),
        *_numbers("seconds", "device_seconds", "peak_memory_mib"),
        sa.Column("worker", sa.String(200)),
        sa.Column("note", sa.Text()),
        sa.Column("environment", sa.String(16), sa.ForeignKey("attentune_environments.digest")),
        sa.Column("started_at", WHEN, nullable=False),
        sa.Column("finished_at", WHEN),
        sa.UniqueConstraint("study_id", "number", name="attentune_trials_number"),
        sqlite_autoincrement=True,
    )
    not_failed = sa.text("state <> 'failed'")
    op.create_index(
        "attentune_trials_once",
        "attentune_trials",
        ["study_id", "architecture_key", "seed"],
        unique=True,
        sqlite_where=not_failed,
        postgresql_where=not_failed,
    )
    op.create_index("attentune_trials_state", "attentune_trials", ["study_id", "state"])
    op.create_index("attentune_trials_architecture", "attentune_trials", ["architecture_key"])


def _what_happened() -> None:
    op.create_table(
        "attentune_epochs",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=True),
        _belongs_to("trial_id", "attentune_trials.id"),
        sa.Column("epoch", sa.Integer(), nullable=False),
        *_numbers("train_loss", "accuracy", "val_loss", "lr", "seconds"),
        sa.UniqueConstraint("trial_id", "epoch", name="attentune_epochs_once"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "attentune_failures",
        _belongs_to("trial_id", "attentune_trials.id", primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=False),
    )
    op.create_table(
        "attentune_rejections",
        sa.Column("id", sa.Integer(), primary_key=True),
        _belongs_to("study_id", "attentune_studies.id"),
        sa.Column("number", sa.Integer()),
        sa.Column("architecture_key", sa.String(12), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rejected_at", WHEN, nullable=False),
    )
    op.create_index("attentune_rejections_study", "attentune_rejections", ["study_id"])
    op.create_table(
        "attentune_leases",
        _belongs_to("study_id", "attentune_studies.id", primary_key=True),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat", sa.Double(), nullable=False),
    )


def _belongs_to(name: str, target: str, *, primary_key: bool = False) -> sa.Column[int]:
    parent = sa.ForeignKey(target, ondelete="CASCADE")
    if primary_key:
        return sa.Column(name, sa.Integer(), parent, primary_key=True, autoincrement=False)
    return sa.Column(name, sa.Integer(), parent, nullable=False)


def _numbers(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double()) for name in names]
