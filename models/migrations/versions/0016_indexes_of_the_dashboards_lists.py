"""indexes of what the dashboard lists: cancelled bookings, and what belongs to another account than `default`."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_bookings_cancelled": ("bookings", ["starts_at", "id"], "status = 'cancelled'"),
    "ix_deliveries_of_account": ("deliveries", ["account", "received_at", "id"], "account <> 'default'"),
    "ix_notifications_of_account": ("notifications", ["account", "created_at", "id"], "account <> 'default'"),
}


def upgrade() -> None:
    for name, (table, columns, where) in INDEXES.items():
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name, (table, _columns, _where) in INDEXES.items():
        op.drop_index(name, table_name=table)
