"""an index of cancelled bookings by their start, by which the dashboard lists them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_cancelled = sa.text("status = 'cancelled'")
    op.create_index(
        "ix_bookings_cancelled",
        "bookings",
        ["starts_at", "id"],
        sqlite_where=is_cancelled,
        postgresql_where=is_cancelled,
    )


def downgrade() -> None:
    op.drop_index("ix_bookings_cancelled", table_name="bookings")
