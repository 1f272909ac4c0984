"""room on each page for the updates that a row is sure to get; PostgreSQL logs only what they change there."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

FILLED = {"deliveries": 50, "notifications": 70}
"""Percent of a page that new rows fill. A delivery is updated once. A notification is updated twice, but the first
update of one makes room for others; with 50, its table would take half as much again."""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, percent in FILLED.items():
            op.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in FILLED:
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
