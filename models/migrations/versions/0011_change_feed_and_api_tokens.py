"""the change feed, and the tokens of the read API."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
    )
    op.create_index("ix_api_tokens_digest", "api_tokens", ["digest"], unique=True)
    op.create_table(
        "change_feed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("last_batch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_feed")),
    )
    # Null until it is numbered, as all rows are now: the first consumer's requests number them in steps.
    op.add_column("booking_changes", sa.Column("feed_batch", sa.BigInteger(), nullable=True))
    op.create_index("ix_booking_changes_feed_batch_id", "booking_changes", ["feed_batch", "id"])


def downgrade() -> None:
    op.drop_index("ix_booking_changes_feed_batch_id", table_name="booking_changes")
    op.drop_column("booking_changes", "feed_batch")
    op.drop_table("change_feed")
    op.drop_table("api_tokens")
