"""incidents and endpoints say to which account they belong, and an account when its API key ends."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = ("incidents", "endpoints")
IS_OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("account", sa.String(64), nullable=False, server_default="default"))
    op.add_column("accounts", sa.Column("api_key_expires", sa.Date(), nullable=True))
    _open_once("uq_incidents_kind_open", "uq_incidents_kind_account_open", ["kind", "account"])


def downgrade() -> None:
    op.execute("DELETE FROM incidents WHERE account <> 'default'")
    op.execute("DELETE FROM endpoints WHERE account <> 'default'")
    _open_once("uq_incidents_kind_account_open", "uq_incidents_kind_open", ["kind"])
    op.drop_column("accounts", "api_key_expires")
    for table in TABLES:
        op.drop_column(table, "account")


def _open_once(old: str, new: str, columns: list[str]) -> None:
    """Change of what only one incident may be open at any time."""
    op.drop_index(old, table_name="incidents")
    op.create_index(new, "incidents", columns, unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)
