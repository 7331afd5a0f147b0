"""Alembic's entry point: run the revisions on the connection that `connection.py` passes."""

from __future__ import annotations

from alembic import context
from attentune.studies.database.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
