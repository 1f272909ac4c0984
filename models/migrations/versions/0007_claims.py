"""claims, and the rows that are tried alone; deliveries that were never tried come first."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("deliveries", "notifications")
WAITS = "status = 'pending'"


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("worker", sa.String(length=128), nullable=False),
        sa.Column("queue", sa.String(length=16), nullable=False),
        sa.Column(
            "row_ids",
            sa.JSON(none_as_null=True).with_variant(
                postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
            ),
            nullable=False,
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_claims")),
    )
    for table in TABLES:
        op.add_column(table, sa.Column("is_isolated", sa.Boolean(), nullable=False, server_default=sa.false()))
        op.add_column(table, sa.Column("crashes", sa.Integer(), nullable=False, server_default="0"))
        _index_some(table, "isolated", ["crashes", "due_at", "id"], f"{WAITS} AND is_isolated")
    op.add_column("notifications", sa.Column("claimed_by", sa.String(length=128), nullable=True))
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    _index_some("deliveries", "due", ["attempts", "due_at", "received_at", "id"], WAITS)


def downgrade() -> None:
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    _index_some("deliveries", "due", ["due_at", "received_at", "id"], WAITS)
    op.drop_column("notifications", "claimed_by")
    for table in TABLES:
        op.drop_index(f"ix_{table}_isolated", table_name=table)
        op.drop_column(table, "crashes")
        op.drop_column(table, "is_isolated")
    op.drop_table("claims")


def _index_some(table: str, name: str, columns: list[str], where: str) -> None:
    some = sa.text(where)
    op.create_index(f"ix_{table}_{name}", table, columns, sqlite_where=some, postgresql_where=some)
