"""What the mail server said is called what it is."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE notices RENAME COLUMN words TO server_reply")


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
