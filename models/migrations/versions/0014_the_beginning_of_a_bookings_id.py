"""an index of bookings by the beginning of their id, which PostgreSQL's primary key cannot find."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_bookings_id_prefix", "bookings", ["id"], postgresql_ops={"id": "varchar_pattern_ops"})


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_bookings_id_prefix", table_name="bookings")
