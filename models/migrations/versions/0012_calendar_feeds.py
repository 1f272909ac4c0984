"""links of hosts' calendars, and an index of the bookings with co-hosts."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("platform_users", sa.Column("calendar_feed_id", sa.String(length=22), nullable=True))
    op.create_index("ix_platform_users_calendar_feed_id", "platform_users", ["calendar_feed_id"])
    op.create_index(
        "ix_bookings_shared",
        "bookings",
        ["starts_at"],
        sqlite_where=sa.text("instr(host_ids, ',') > 0"),
        postgresql_where=sa.text("(host_ids -> 1) IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_bookings_shared", table_name="bookings")
    op.drop_index("ix_platform_users_calendar_feed_id", table_name="platform_users")
    op.drop_column("platform_users", "calendar_feed_id")
