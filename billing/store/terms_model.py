# No postponed annotations here: SQLModel reads them at class creation.
"""The table of what was agreed when; as `models`, of which it is a part."""

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, text
from sqlmodel import Field, SQLModel

from billing.store.columns import AMOUNT_CHECK


class TermsVersion(SQLModel, table=True):
    """What was agreed when, of a subscription whose terms were ever changed; nothing personal."""

    __tablename__ = "terms"
    __table_args__ = (
        CheckConstraint(AMOUNT_CHECK, name="ck_terms_amount"),
        Index("ix_terms_subscription", "subscription_id", "id"),
        Index(
            "uq_terms_waits",
            "subscription_id",
            unique=True,
            sqlite_where=text("waits = 1"),
            postgresql_where=text("waits = 1"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int = Field(foreign_key="subscriptions.id")
    agreed_at: datetime
    actor: str
    holds_from: date
    """The first due date that these terms are for."""
    waits: int = 0
    """1 until `holds_from` is what is due next."""
    plan: str
    amount_micros: int = Field(sa_column=Column(BigInteger, nullable=False))
    interval_count: int
    interval_unit: str
    anchor_on: date
    bill_from: date | None = None
    ends_on: date | None = None
