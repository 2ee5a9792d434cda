# No postponed annotations here: SQLModel reads them at class creation.
"""The tables. Rows are written through Core statements; these classes state shapes and constraints.

Amounts are micro-USDC (`_micros`), instants aware UTC (`_at`), dates in the business's zone (`_on`).
"""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from billing.core.periods import Unit
from billing.core.states import NoticeKind, NoticeState, PaymentState, SubscriptionStatus
from billing.store.columns import AMOUNT_CHECK, number_column, one_of, text_column
from billing.store.terms_model import TermsVersion


class Identity(SQLModel, table=True):
    """One row: which environment and business this database belongs to, and its memory of itself."""

    __tablename__ = "identity"
    __table_args__ = (CheckConstraint("id = 1", name="ck_identity_single"),)

    id: int = Field(default=1, primary_key=True)
    environment: str
    business_fingerprint: str
    generation: int = 0
    """Counts cycles; a file beside SQLite remembers the highest, so that an old copy is noticed."""
    restored_on: date | None = None
    """Payments due up to this date may exist at Mileston although this database does not know them."""
    copied_at: datetime | None = None
    """Set in a backup copy: whoever opens it for a cycle knows that it was restored."""
    reminder_offsets: str = ""
    """The offsets that next_remind_on was computed with."""
    home: str = Field(default="", sa_column=text_column("home"))
    """Where it lived when it was last used (`store.home`); another place is a reason to doubt it."""
    doubt: str = Field(default="", sa_column=text_column("doubt"))
    """A weak reason to doubt it; nothing is sent until one look at Mileston has settled it."""
    doubt_since: datetime | None = None
    namespace: str | None = None
    """`mileston.namespace`, fixed with the first payment that is sent; None before."""
    longest_list: int = Field(default=0, sa_column=number_column("longest_list"))
    """The longest list that the API has ever shown: shorter ones are not cut by a cap of their length."""


class Subscription(SQLModel, table=True):
    """An agreement to pay `amount` every `interval`, counted from `anchor_on`."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        CheckConstraint(AMOUNT_CHECK, name="ck_subscriptions_amount"),
        CheckConstraint("interval_count >= 1", name="ck_subscriptions_interval"),
        one_of("interval_unit", Unit, "ck_subscriptions_unit"),
        one_of("status", SubscriptionStatus, "ck_subscriptions_status"),
        CheckConstraint("next_period >= 0", name="ck_subscriptions_next_period"),
        Index(
            "ix_subscriptions_due",
            "next_due_on",
            "id",
            sqlite_where=text("status = 'active'"),
            postgresql_where=text("status = 'active'"),
        ),
        Index(
            "ix_subscriptions_paused_by",
            "id",
            sqlite_where=text("paused_by <> ''"),
            postgresql_where=text("paused_by <> ''"),
        ),
        Index(
            "ix_subscriptions_paused_until",
            "paused_until",
            "id",
            sqlite_where=text("paused_until IS NOT NULL"),
            postgresql_where=text("paused_until IS NOT NULL"),
        ),
        Index(
            "ix_subscriptions_change",
            "id",
            sqlite_where=text("change_on IS NOT NULL"),
            postgresql_where=text("change_on IS NOT NULL"),
        ),
        Index(
            "ix_subscriptions_remind",
            "next_remind_on",
            "id",
            sqlite_where=text("status = 'active' AND next_remind_on IS NOT NULL"),
            postgresql_where=text("status = 'active' AND next_remind_on IS NOT NULL"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    reference: str = Field(unique=True)
    plan: str
    name: str
    email: str
    amount_micros: int = Field(sa_column=Column(BigInteger, nullable=False))
    interval_count: int
    interval_unit: str
    anchor_on: date
    bill_from: date | None = None
    ends_on: date | None = None
    wallet_address: str | None = None
    locale: str | None = None
    company: str = Field(default="", sa_column=text_column("company"))
    """For receipts, as are the next two: the buyer's company, tax number and postal address."""
    tax_id: str = Field(default="", sa_column=text_column("tax_id"))
    address: str = Field(default="", sa_column=text_column("address"))
    status: str = SubscriptionStatus.ACTIVE.value
    paused_by: str = Field(default="", sa_column=text_column("paused_by"))
    """`dunning` for a pause that ends when what led to it is paid; else a person's own."""
    paused_until: date | None = None
    """The day on which a pause ends by itself; None: when somebody says so."""
    resumed_on: date | None = None
    """The day on which the last pause ended: no period that begins before it is billed, whatever changes."""
    cancel_on: date | None = None
    price_from: date | None = None
    """Payments due before keep their price: the one that is agreed now had to wait for this day."""
    change_on: date | None = None
    """The due date from which terms hold that were agreed already (`TermsVersion.waits`)."""
    """No period that is due on or after this date is planned (cancelled at the period's end)."""
    next_period: int
    next_due_on: date | None = None
    """None: no further period will ever be planned."""
    next_remind_on: date | None = None
    created_at: datetime
    updated_at: datetime


_MAY_RENEW = "renewal_off_at IS NULL AND remote_id IS NOT NULL AND state IN ('open', 'paid', 'uncollectible')"


class Payment(SQLModel, table=True):
    """The one charge for one period of one subscription."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("subscription_id", "due_on", name="uq_payments_period"),
        UniqueConstraint("marker", name="uq_payments_marker"),
        UniqueConstraint("remote_id", name="uq_payments_remote"),
        CheckConstraint(AMOUNT_CHECK, name="ck_payments_amount"),
        CheckConstraint("period_end_on >= due_on", name="ck_payments_period"),
        one_of("state", PaymentState, "ck_payments_state"),
        CheckConstraint(
            "state NOT IN ('open', 'paid', 'uncollectible') OR remote_id IS NOT NULL"
            " OR (state = 'paid' AND former_remote_id IS NOT NULL)",
            name="ck_payments_open_has_remote",
        ),
        CheckConstraint(
            "state <> 'sending' OR (run_id IS NOT NULL AND lease_until IS NOT NULL AND attempts > 0)",
            name="ck_payments_sending_has_lease",
        ),
        CheckConstraint("state NOT IN ('held', 'parked') OR cause <> ''", name="ck_payments_cause"),
        CheckConstraint("state <> 'paid' OR paid_at IS NOT NULL", name="ck_payments_paid_at"),
        Index("ix_payments_state", "state", "id"),
        Index("uq_payments_receipt", "receipt_number", unique=True),
        Index(
            "ix_payments_look",
            "looked_at",
            "id",
            sqlite_where=text("state IN ('open', 'uncollectible')"),
            postgresql_where=text("state IN ('open', 'uncollectible')"),
        ),
        Index(
            "ix_payments_dun",
            "next_dun_on",
            "id",
            sqlite_where=text("state = 'open' AND next_dun_on IS NOT NULL"),
            postgresql_where=text("state = 'open' AND next_dun_on IS NOT NULL"),
        ),
        Index(
            "ix_payments_void",
            "next_look_at",
            sqlite_where=text("state = 'void' AND next_look_at IS NOT NULL"),
            postgresql_where=text("state = 'void' AND next_look_at IS NOT NULL"),
        ),
        Index(
            "ix_payments_former",
            "former_remote_id",
            sqlite_where=text("former_remote_id IS NOT NULL"),
            postgresql_where=text("former_remote_id IS NOT NULL"),
        ),
        Index(
            "ix_payments_renewal",
            "state",
            "id",
            sqlite_where=text(_MAY_RENEW),
            postgresql_where=text(_MAY_RENEW),
        ),
        Index(
            "ix_payments_attention",
            "id",
            sqlite_where=text("attention <> ''"),
            postgresql_where=text("attention <> ''"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int = Field(foreign_key="subscriptions.id")
    period: int
    due_on: date
    period_end_on: date
    """The period's last day."""
    amount_micros: int = Field(sa_column=Column(BigInteger, nullable=False))
    marker: str
    state: str
    cause: str = ""
    """Why it is held, parked, rejected or unknown."""
    attention: str = ""
    """What a person must look at although the state is ordinary (vanished, unpaid again, mismatch)."""
    attempts: int = 0
    run_id: str | None = None
    """The run that holds it while it is being sent."""
    lease_until: datetime | None = None
    deadline_at: datetime | None = None
    """After this instant nothing of the last attempt can still be on its way from us."""
    remote_id: str | None = None
    remote_from_at: datetime | None = None
    """The remote payment was made between these two instants, by our clock."""
    remote_by_at: datetime | None = None
    absent_looks: int = 0
    absent_at: datetime | None = None
    """When the list last proved that no remote payment bears the marker."""
    look_step: int = 0
    next_look_at: datetime | None = None
    looked_at: datetime | None = None
    """When its status was last read from the API."""
    looked_run_id: str | None = None
    paid_at: datetime | None = None
    payable_on: date | None = None
    """The later of the due date and the day it was made at Mileston: dunning counts from here."""
    dunning_policy: str | None = None
    """Frozen as JSON when the payment became overdue."""
    dunning_step: int = 0
    """Days after the due date of the last step taken; 0: none."""
    next_dun_on: date | None = None
    told_by: str = Field(default="", sa_column=text_column("told_by"))
    """The dedupe key of the latest mail that told of its being overdue."""
    led_to_pause: int = Field(default=0, sa_column=number_column("led_to_pause"))
    """1 while dunning's pause of its subscription waits for its being paid."""
    renewal_off_at: datetime | None = None
    """When its record's interval was changed to one that never comes (`mileston.renewal = "stop"`)."""
    former_remote_id: str | None = None
    """The record that stood for it until that renewed itself and was taken for the next period."""
    shown_on: date | None = None
    """The date that its record showed when it was booked paid, if another than `due_on`."""
    receipt_number: str | None = None
    """`2026-000123`: without gaps in the year in which it was booked."""
    created_at: datetime
    updated_at: datetime


class ReceiptYear(SQLModel, table=True):
    """The last receipt number that was given in a year."""

    __tablename__ = "receipt_years"

    year: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    last_number: int


class Attempt(SQLModel, table=True):
    """One time a create request was put on the wire: the intent, and later its outcome, once."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("payment_id", "number", name="uq_attempts_number"),)

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payments.id")
    number: int
    run_id: str
    started_at: datetime
    outcome: str | None = None
    status: int | None = None
    detail: str = ""
    finished_at: datetime | None = None


class Notice(SQLModel, table=True):
    """One e-mail about one subscription or payment; its dedupe key is unique for ever."""

    __tablename__ = "notices"
    __table_args__ = (
        UniqueConstraint("dedupe_key", name="uq_notices_dedupe_key"),
        one_of("kind", NoticeKind, "ck_notices_kind"),
        one_of("state", NoticeState, "ck_notices_state"),
        CheckConstraint(
            "state NOT IN ('sending', 'sent', 'unknown') OR message_id <> ''", name="ck_notices_rendered"
        ),
        CheckConstraint("state <> 'sending' OR lease_until IS NOT NULL", name="ck_notices_lease"),
        Index(
            "ix_notices_queue",
            "next_try_at",
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_notices_state", "state", "id"),
        Index("ix_notices_subscription", "subscription_id", "due_on"),
    )

    id: int | None = Field(default=None, primary_key=True)
    dedupe_key: str
    kind: str
    subscription_id: int | None = Field(default=None, foreign_key="subscriptions.id")
    payment_id: int | None = Field(default=None, foreign_key="payments.id")
    due_on: date | None = None
    days: int | None = None
    """The reminder's offset or the dunning step that it stands for."""
    facts: str = ""
    """JSON of facts that no row holds (the digest's items, the last paid day)."""
    state: str
    queued_at: datetime
    next_try_at: datetime
    tries: int = 0
    run_id: str | None = None
    lease_until: datetime | None = None
    to_address: str = ""
    subject: str = ""
    message_id: str = ""
    sha256: str = ""
    rendered_at: datetime | None = None
    raw: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    """The exact bytes, kept only while the message may have to go out again."""
    server_reply: str = ""
    """The mail server's last answer, or why the notice was superseded."""
    sent_at: datetime | None = None


class Run(SQLModel, table=True):
    """The recorded execution of one cycle."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_started", "started_at"),)

    id: str = Field(primary_key=True)
    as_of: date
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    summary: str = Field(default="", sa_column=Column(Text, nullable=False))
    sent_payments: int = Field(default=0, sa_column=number_column("sent_payments"))
    """What it has put on the wire: runs that overlap share one allowance."""
    sent_micros: int = Field(
        default=0, sa_column=Column("sent_micros", BigInteger, nullable=False, server_default="0")
    )
    active_at: datetime | None = None
    """When it last claimed payments; a run that stays silent for long is dead."""


class Event(SQLModel, table=True):
    """Who did what to which record, and why. Append-only: triggers refuse update and delete."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_subscription", "subscription_id", "id"),
        Index("ix_events_payment", "payment_id", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    at: datetime
    actor: str
    """`run:<id>`, or `person:<user>`."""
    subscription_id: int | None = None
    payment_id: int | None = None
    notice_id: int | None = None
    action: str
    detail: str = ""


terms = TermsVersion.metadata.tables["terms"]
subscriptions = SQLModel.metadata.tables["subscriptions"]
payments = SQLModel.metadata.tables["payments"]
attempts = SQLModel.metadata.tables["attempts"]
notices = SQLModel.metadata.tables["notices"]
receipt_years = SQLModel.metadata.tables["receipt_years"]
runs = SQLModel.metadata.tables["runs"]
events = SQLModel.metadata.tables["events"]
identity = SQLModel.metadata.tables["identity"]
