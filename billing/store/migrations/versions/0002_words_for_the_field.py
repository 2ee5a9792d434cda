"""The mail server's reply is called so; the database remembers where it lives, and what runs have sent."""

import sqlalchemy as sa
from alembic import op
from sqlmodel import AutoString, UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE notices RENAME COLUMN words TO server_reply")
    op.add_column("identity", sa.Column("home", AutoString(), nullable=False, server_default=sa.text("''")))
    op.add_column("identity", sa.Column("doubt", AutoString(), nullable=False, server_default=sa.text("''")))
    op.add_column("identity", sa.Column("doubt_since", UTCDateTime(), nullable=True))
    op.add_column("identity", sa.Column("namespace", AutoString(), nullable=True))
    op.add_column("identity", sa.Column("longest_list", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("sent_payments", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("sent_micros", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("active_at", UTCDateTime(), nullable=True))


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
