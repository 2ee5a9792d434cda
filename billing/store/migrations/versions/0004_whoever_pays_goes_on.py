"""Dunning knows its own pauses and which mail told of what; receipts have numbers, subscribers an address."""

import sqlalchemy as sa
from alembic import op
from sqlmodel import AutoString

from billing.store.schema_changes import change_check

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KINDS = (
    "'next_payment_due', 'payment_created', 'payment_received', 'payment_overdue', 'subscription_paused', "
    "{}'subscription_cancelled', 'run_digest'"
)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, AutoString(), nullable=False, server_default=sa.text("''"))


def upgrade() -> None:
    for name in ("paused_by", "company", "tax_id", "address"):
        op.add_column("subscriptions", _text(name))
    op.add_column("subscriptions", sa.Column("resumed_on", sa.Date(), nullable=True))
    op.create_index(
        "ix_subscriptions_paused_by",
        "subscriptions",
        ["id"],
        sqlite_where=sa.text("paused_by <> ''"),
        postgresql_where=sa.text("paused_by <> ''"),
    )
    op.add_column("payments", _text("told_by"))
    op.add_column("payments", sa.Column("led_to_pause", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("payments", sa.Column("receipt_number", AutoString(), nullable=True))
    op.create_index("uq_payments_receipt", "payments", ["receipt_number"], unique=True)
    op.create_table(
        "receipt_years",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("year"),
    )
    old, new = _KINDS.format(""), _KINDS.format("'subscription_resumed', ")
    change_check(op.get_bind(), "notices", "ck_notices_kind", f"kind IN ({old})", f"kind IN ({new})")
    # Whoever was reminded by the version before was told: the latest mail of each payment stands for it.
    op.execute(
        "UPDATE payments SET told_by = coalesce((SELECT n.dedupe_key FROM notices n "
        "WHERE n.subscription_id = payments.subscription_id AND n.due_on = payments.due_on "
        "AND n.kind = 'payment_overdue' ORDER BY n.id DESC LIMIT 1), '') WHERE dunning_step > 0"
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
