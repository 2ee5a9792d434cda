"""A payment that Mileston rejected, and that is there all the same, becomes unknown and is looked up."""

from alembic import op

from billing.store.schema_changes import payments_move_along

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

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
    "rejected>unknown",
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


def upgrade() -> None:
    payments_move_along(op.get_bind(), _LEGAL)


def downgrade() -> None:
    raise RuntimeError("there is no way back from here; restore a backup instead")
