"""causes of incidents, and bookings that no webhook reported."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql")


def upgrade() -> None:
    op.add_column("incidents", sa.Column("details", JSON, nullable=True))
    op.add_column("reconciliations", sa.Column("undelivered", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("reconciliations", "undelivered")
    op.drop_column("incidents", "details")
