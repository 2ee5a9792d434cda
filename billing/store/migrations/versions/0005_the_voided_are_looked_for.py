"""A payment that is voided young is looked for once more."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_WHERE = "state = 'void' AND next_look_at IS NOT NULL"


def upgrade() -> None:
    # What was unknown once kept the day of its next look.
    op.execute("UPDATE payments SET next_look_at = NULL WHERE state = 'void'")
    op.create_index(
        "ix_payments_void",
        "payments",
        ["next_look_at"],
        sqlite_where=sa.text(_WHERE),
        postgresql_where=sa.text(_WHERE),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
