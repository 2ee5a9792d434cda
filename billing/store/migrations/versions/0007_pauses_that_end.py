"""A pause may have a day on which it ends by itself."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ENDS = "paused_until IS NOT NULL"


def upgrade() -> None:
    op.add_column("subscriptions", sa.Column("paused_until", sa.Date(), nullable=True))
    op.create_index(
        "ix_subscriptions_paused_until",
        "subscriptions",
        ["paused_until", "id"],
        sqlite_where=sa.text(_ENDS),
        postgresql_where=sa.text(_ENDS),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
