"""whether news is late, what a replayed delivery shall tell, and whom meetergo said to have joined."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notifications", sa.Column("is_late", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("deliveries", sa.Column("replayed_for", sa.String(length=6), nullable=True))
    op.create_table(
        "meetergo_employees",
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("meetergo_user_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("email", "meetergo_user_id", name=op.f("pk_meetergo_employees")),
    )


def downgrade() -> None:
    op.drop_table("meetergo_employees")
    op.drop_column("deliveries", "replayed_for")
    op.drop_column("notifications", "is_late")
