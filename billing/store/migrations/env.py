"""Runs migrations on the connection that `billing.store.database.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

import billing.store.models  # noqa: F401  (fills the metadata)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    transaction_per_migration=False,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
