"""Records at Mileston that renew themselves: which were stopped, and which stand for the next period now."""

import sqlalchemy as sa
from alembic import op
from sqlmodel import UTCDateTime

from billing.store.schema_changes import change_check

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OLD = "state NOT IN ('open', 'paid', 'uncollectible') OR remote_id IS NOT NULL"
_NEW = f"{_OLD} OR (state = 'paid' AND former_remote_id IS NOT NULL)"
_MAY_RENEW = "renewal_off_at IS NULL AND remote_id IS NOT NULL AND state IN ('open', 'paid', 'uncollectible')"


def upgrade() -> None:
    op.add_column("payments", sa.Column("renewal_off_at", UTCDateTime(), nullable=True))
    op.add_column("payments", sa.Column("former_remote_id", sa.String(), nullable=True))
    op.add_column("payments", sa.Column("shown_on", sa.Date(), nullable=True))
    change_check(op.get_bind(), "payments", "ck_payments_open_has_remote", _OLD, _NEW)
    op.create_index(
        "ix_payments_renewal",
        "payments",
        ["state", "id"],
        sqlite_where=sa.text(_MAY_RENEW),
        postgresql_where=sa.text(_MAY_RENEW),
    )
    op.create_index(
        "ix_payments_former",
        "payments",
        ["former_remote_id"],
        sqlite_where=sa.text("former_remote_id IS NOT NULL"),
        postgresql_where=sa.text("former_remote_id IS NOT NULL"),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
