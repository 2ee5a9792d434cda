"""The first schema"""

import sqlalchemy as sa
from alembic import op
from sqlmodel import UTCDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The transitions as they were when this schema was made (billing/core/states.py).
_LEGAL = (
    "planned>held",
    "planned>sending",
    "planned>unknown",
    "planned>void",
    "sending>open",
    "sending>planned",
    "sending>rejected",
    "sending>unknown",
    "open>paid",
    "open>uncollectible",
    "open>void",
    "rejected>planned",
    "rejected>void",
    "unknown>open",
    "unknown>parked",
    "unknown>planned",
    "held>planned",
    "held>unknown",
    "held>void",
    "parked>open",
    "parked>planned",
    "parked>void",
    "uncollectible>paid",
)

# A refused change, as (name, table, when, condition, message). The database itself keeps these rules,
# whoever writes to it: history is only added to, and a payment moves along the table alone.
_REFUSALS = (
    ("events_update", "events", "UPDATE", "TRUE", "the event log is append-only"),
    ("events_delete", "events", "DELETE", "TRUE", "the event log is append-only"),
    ("attempts_delete", "attempts", "DELETE", "TRUE", "attempts are append-only"),
    (
        "attempts_update",
        "attempts",
        "UPDATE",
        "OLD.outcome IS NOT NULL OR NEW.payment_id <> OLD.payment_id OR NEW.number <> OLD.number",
        "the outcome of an attempt is written once",
    ),
    ("payments_delete", "payments", "DELETE", "TRUE", "a payment is never deleted; void it"),
    (
        "payments_key",
        "payments",
        "UPDATE",
        "NEW.subscription_id <> OLD.subscription_id OR NEW.due_on <> OLD.due_on OR NEW.marker <> OLD.marker",
        "what a payment is for never changes",
    ),
    (
        "payments_transition",
        "payments",
        "UPDATE",
        "OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ("
        + ", ".join(f"'{pair}'" for pair in _LEGAL)
        + ")",
        "illegal transition of a payment",
    ),
    ("notices_delete", "notices", "DELETE", "TRUE", "a notice is never deleted"),
)


def _refuse(name: str, table: str, when: str, condition: str, message: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER tr_{name} BEFORE {when} ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION refuse_{name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER tr_{name} BEFORE {when} ON {table} FOR EACH ROW WHEN ({condition}) "
        f"EXECUTE FUNCTION refuse_{name}()"
    )


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("payment_id", sa.Integer(), nullable=True),
        sa.Column("notice_id", sa.Integer(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_events_payment", "events", ["payment_id", "id"], unique=False)
    op.create_index("ix_events_subscription", "events", ["subscription_id", "id"], unique=False)

    op.create_table(
        "identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("business_fingerprint", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("restored_on", sa.Date(), nullable=True),
        sa.Column("copied_at", UTCDateTime(), nullable=True),
        sa.Column("reminder_offsets", sa.String(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_identity_single"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("finished_at", UTCDateTime(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_runs_started", "runs", ["started_at"], unique=False)

    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("interval_count", sa.Integer(), nullable=False),
        sa.Column("interval_unit", sa.String(), nullable=False),
        sa.Column("anchor_on", sa.Date(), nullable=False),
        sa.Column("bill_from", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("wallet_address", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("cancel_on", sa.Date(), nullable=True),
        sa.Column("next_period", sa.Integer(), nullable=False),
        sa.Column("next_due_on", sa.Date(), nullable=True),
        sa.Column("next_remind_on", sa.Date(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("interval_unit IN ('day', 'week', 'month', 'year')", name="ck_subscriptions_unit"),
        sa.CheckConstraint(
            "status IN ('active', 'paused', 'cancelled', 'ended')", name="ck_subscriptions_status"
        ),
        sa.CheckConstraint("amount_micros BETWEEN 1 AND 999999999999999", name="ck_subscriptions_amount"),
        sa.CheckConstraint("interval_count >= 1", name="ck_subscriptions_interval"),
        sa.CheckConstraint("next_period >= 0", name="ck_subscriptions_next_period"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference"),
    )
    op.create_index(
        "ix_subscriptions_due",
        "subscriptions",
        ["next_due_on", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'active'"),
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_subscriptions_remind",
        "subscriptions",
        ["next_remind_on", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'active' AND next_remind_on IS NOT NULL"),
        postgresql_where=sa.text("status = 'active' AND next_remind_on IS NOT NULL"),
    )

    op.create_table(
        "payments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("period_end_on", sa.Date(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("marker", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("attention", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.Column("deadline_at", UTCDateTime(), nullable=True),
        sa.Column("remote_id", sa.String(), nullable=True),
        sa.Column("remote_from_at", UTCDateTime(), nullable=True),
        sa.Column("remote_by_at", UTCDateTime(), nullable=True),
        sa.Column("absent_looks", sa.Integer(), nullable=False),
        sa.Column("absent_at", UTCDateTime(), nullable=True),
        sa.Column("look_step", sa.Integer(), nullable=False),
        sa.Column("next_look_at", UTCDateTime(), nullable=True),
        sa.Column("looked_at", UTCDateTime(), nullable=True),
        sa.Column("looked_run_id", sa.String(), nullable=True),
        sa.Column("paid_at", UTCDateTime(), nullable=True),
        sa.Column("payable_on", sa.Date(), nullable=True),
        sa.Column("dunning_policy", sa.String(), nullable=True),
        sa.Column("dunning_step", sa.Integer(), nullable=False),
        sa.Column("next_dun_on", sa.Date(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("state <> 'paid' OR paid_at IS NOT NULL", name="ck_payments_paid_at"),
        sa.CheckConstraint(
            "state <> 'sending' OR (run_id IS NOT NULL AND lease_until IS NOT NULL AND attempts > 0)",
            name="ck_payments_sending_has_lease",
        ),
        sa.CheckConstraint(
            "state IN ('planned', 'sending', 'open', 'rejected', 'unknown', 'held', 'parked', 'paid', 'uncollectible', 'void')",
            name="ck_payments_state",
        ),
        sa.CheckConstraint("state NOT IN ('held', 'parked') OR cause <> ''", name="ck_payments_cause"),
        sa.CheckConstraint(
            "state NOT IN ('open', 'paid', 'uncollectible') OR remote_id IS NOT NULL",
            name="ck_payments_open_has_remote",
        ),
        sa.CheckConstraint("amount_micros BETWEEN 1 AND 999999999999999", name="ck_payments_amount"),
        sa.CheckConstraint("period_end_on >= due_on", name="ck_payments_period"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("marker", name="uq_payments_marker"),
        sa.UniqueConstraint("remote_id", name="uq_payments_remote"),
        sa.UniqueConstraint("subscription_id", "due_on", name="uq_payments_period"),
    )
    op.create_index(
        "ix_payments_attention",
        "payments",
        ["id"],
        unique=False,
        sqlite_where=sa.text("attention <> ''"),
        postgresql_where=sa.text("attention <> ''"),
    )
    op.create_index(
        "ix_payments_dun",
        "payments",
        ["next_dun_on", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'open' AND next_dun_on IS NOT NULL"),
        postgresql_where=sa.text("state = 'open' AND next_dun_on IS NOT NULL"),
    )
    op.create_index(
        "ix_payments_look",
        "payments",
        ["looked_at", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('open', 'uncollectible')"),
        postgresql_where=sa.text("state IN ('open', 'uncollectible')"),
    )
    op.create_index("ix_payments_state", "payments", ["state", "id"], unique=False)

    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("finished_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["payment_id"],
            ["payments.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("payment_id", "number", name="uq_attempts_number"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("payment_id", sa.Integer(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("facts", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("queued_at", UTCDateTime(), nullable=False),
        sa.Column("next_try_at", UTCDateTime(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.Column("to_address", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rendered_at", UTCDateTime(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("sent_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('next_payment_due', 'payment_created', 'payment_received', 'payment_overdue', 'subscription_paused', 'subscription_cancelled', 'run_digest')",
            name="ck_notices_kind",
        ),
        sa.CheckConstraint("state <> 'sending' OR lease_until IS NOT NULL", name="ck_notices_lease"),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'failed', 'unknown', 'superseded')",
            name="ck_notices_state",
        ),
        sa.CheckConstraint(
            "state NOT IN ('sending', 'sent', 'unknown') OR message_id <> ''", name="ck_notices_rendered"
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"],
            ["payments.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dedupe_key", name="uq_notices_dedupe_key"),
    )
    op.create_index(
        "ix_notices_queue",
        "notices",
        ["next_try_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("ix_notices_state", "notices", ["state", "id"], unique=False)
    op.create_index("ix_notices_subscription", "notices", ["subscription_id", "due_on"], unique=False)
    for refusal in _REFUSALS:
        _refuse(*refusal)


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
