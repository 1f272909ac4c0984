"""one index less: news of a delivery is found by the bookings that it changed."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_notifications_delivery_id", table_name="notifications")


def downgrade() -> None:
    op.create_index("ix_notifications_delivery_id", "notifications", ["delivery_id"])
