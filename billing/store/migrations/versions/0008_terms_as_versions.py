"""What was agreed when, terms that wait for their day, and the mail that tells of new ones."""

import sqlalchemy as sa
from alembic import op
from sqlmodel import AutoString, UTCDateTime

from billing.core.money import MAX_AMOUNT_MICROS
from billing.store.schema_changes import change_check

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KINDS = (
    "'next_payment_due', 'payment_created', 'payment_received', 'payment_overdue', 'subscription_paused', "
    "'subscription_resumed', 'subscription_cancelled', {}'run_digest'"
)
_CHANGES, _WAITS = sa.text("change_on IS NOT NULL"), sa.text("waits = 1")


def upgrade() -> None:
    op.create_table(
        "terms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("agreed_at", UTCDateTime(), nullable=False),
        sa.Column("actor", AutoString(), nullable=False),
        sa.Column("holds_from", sa.Date(), nullable=False),
        sa.Column("waits", sa.Integer(), nullable=False),
        sa.Column("plan", AutoString(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("interval_count", sa.Integer(), nullable=False),
        sa.Column("interval_unit", AutoString(), nullable=False),
        sa.Column("anchor_on", sa.Date(), nullable=False),
        sa.Column("bill_from", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.CheckConstraint(f"amount_micros BETWEEN 1 AND {MAX_AMOUNT_MICROS}", name="ck_terms_amount"),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_terms_subscription", "terms", ["subscription_id", "id"])
    op.create_index(
        "uq_terms_waits",
        "terms",
        ["subscription_id"],
        unique=True,
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )
    op.add_column("subscriptions", sa.Column("change_on", sa.Date(), nullable=True))
    op.add_column("subscriptions", sa.Column("price_from", sa.Date(), nullable=True))
    op.create_index(
        "ix_subscriptions_change",
        "subscriptions",
        ["id"],
        sqlite_where=_CHANGES,
        postgresql_where=_CHANGES,
    )
    old, new = _KINDS.format(""), _KINDS.format("'terms_changed', ")
    change_check(op.get_bind(), "notices", "ck_notices_kind", f"kind IN ({old})", f"kind IN ({new})")


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
