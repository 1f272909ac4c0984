"""attempts and interventions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("notifications", schema=None) as batch_op:
        batch_op.add_column(sa.Column("delivery_id", sa.String(length=64), nullable=True))
        batch_op.create_index("ix_notifications_delivery_id", ["delivery_id"], unique=False)
        batch_op.create_index("ix_notifications_created_at", ["created_at"], unique=False)
    with op.batch_alter_table("booking_changes", schema=None) as batch_op:
        batch_op.create_index("ix_booking_changes_at", ["at"], unique=False)

    op.create_table(
        "interventions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("delivery_id", sa.String(length=64), nullable=True),
        sa.Column("notification_id", sa.Integer(), nullable=True),
        sa.Column("booking_id", sa.String(length=255), nullable=True),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interventions")),
    )
    with op.batch_alter_table("interventions", schema=None) as batch_op:
        batch_op.create_index("ix_interventions_at", ["at"], unique=False)
        batch_op.create_index("ix_interventions_booking_id", ["booking_id"], unique=False)
        batch_op.create_index("ix_interventions_delivery_id", ["delivery_id"], unique=False)
        batch_op.create_index("ix_interventions_notification_id", ["notification_id"], unique=False)

    op.create_table(
        "failed_attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.String(length=64), nullable=True),
        sa.Column("notification_id", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=7), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_failed_attempts_delivery_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notifications.id"],
            name=op.f("fk_failed_attempts_notification_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_attempts")),
    )
    with op.batch_alter_table("failed_attempts", schema=None) as batch_op:
        batch_op.create_index("ix_failed_attempts_at", ["at"], unique=False)
        batch_op.create_index("ix_failed_attempts_delivery_id", ["delivery_id"], unique=False)
        batch_op.create_index("ix_failed_attempts_notification_id", ["notification_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("failed_attempts", schema=None) as batch_op:
        batch_op.drop_index("ix_failed_attempts_notification_id")
        batch_op.drop_index("ix_failed_attempts_delivery_id")
        batch_op.drop_index("ix_failed_attempts_at")

    op.drop_table("failed_attempts")
    with op.batch_alter_table("interventions", schema=None) as batch_op:
        batch_op.drop_index("ix_interventions_notification_id")
        batch_op.drop_index("ix_interventions_delivery_id")
        batch_op.drop_index("ix_interventions_booking_id")
        batch_op.drop_index("ix_interventions_at")

    op.drop_table("interventions")
    with op.batch_alter_table("booking_changes", schema=None) as batch_op:
        batch_op.drop_index("ix_booking_changes_at")
    with op.batch_alter_table("notifications", schema=None) as batch_op:
        batch_op.drop_index("ix_notifications_created_at")
        batch_op.drop_index("ix_notifications_delivery_id")
    op.drop_column("notifications", "delivery_id")
