"""indexes of what is to do, which hold nothing that is done; and two indexes less."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations
from sqlalchemy.exc import SAWarning

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WAITS, IS_DEAD, HAS_ENDED = "status = 'pending'", "status = 'dead'", "ended_at IS NOT NULL"


def upgrade() -> None:
    for name in ("status_due_at", "booking_id", "ended_at"):
        op.drop_index(f"ix_deliveries_{name}", table_name="deliveries")
    for name in ("status_due_at", "booking_id_status", "ended_at"):
        op.drop_index(f"ix_notifications_{name}", table_name="notifications")
    op.drop_index("ix_booking_changes_delivery_id", table_name="booking_changes")
    with _changed("booking_changes") as changes:
        changes.drop_constraint("fk_booking_changes_delivery_id", type_="foreignkey")
    with _changed("notifications") as notifications:
        notifications.drop_constraint("uq_notifications_key", type_="unique")
    _index_some("deliveries", "due", ["due_at", "received_at", "id"], WAITS)
    _index_some("notifications", "due", ["due_at", "id"], WAITS)
    for table in ("deliveries", "notifications"):
        _index_some(table, "dead", ["ended_at", "id"], IS_DEAD)
        _index_some(table, "ended_at", ["ended_at"], HAS_ENDED)
    _index_some("deliveries", "booking_id", ["booking_id"], "booking_id IS NOT NULL")
    _index_some("booking_changes", "linked", ["delivery_id"], "kind = 'linked'")
    op.create_index("ix_notifications_booking_id_key", "notifications", ["booking_id", "key"], unique=True)


def downgrade() -> None:
    for name in ("due", "dead", "ended_at", "booking_id"):
        op.drop_index(f"ix_deliveries_{name}", table_name="deliveries")
    for name in ("due", "dead", "ended_at", "booking_id_key"):
        op.drop_index(f"ix_notifications_{name}", table_name="notifications")
    op.drop_index("ix_booking_changes_linked", table_name="booking_changes")
    op.execute(
        "UPDATE booking_changes SET delivery_id = NULL"
        " WHERE delivery_id IS NOT NULL AND delivery_id NOT IN (SELECT id FROM deliveries)"
    )
    with _changed("booking_changes") as changes:
        changes.create_foreign_key(
            "fk_booking_changes_delivery_id", "deliveries", ["delivery_id"], ["id"], ondelete="SET NULL"
        )
    with _changed("notifications") as notifications:
        notifications.create_unique_constraint("uq_notifications_key", ["key"])
    for table in ("deliveries", "notifications"):
        op.create_index(f"ix_{table}_status_due_at", table, ["status", "due_at"])
        op.create_index(f"ix_{table}_ended_at", table, ["ended_at"])
    op.create_index("ix_deliveries_booking_id", "deliveries", ["booking_id"])
    op.create_index("ix_notifications_booking_id_status", "notifications", ["booking_id", "status"])
    op.create_index("ix_booking_changes_delivery_id", "booking_changes", ["delivery_id"])


@contextmanager
def _changed(table: str) -> Iterator[BatchOperations]:
    """SQLite has to read the tables that it refers to; they may have indexes of which it says that it cannot."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)
        with op.batch_alter_table(table) as change:
            yield change


def _index_some(table: str, name: str, columns: list[str], where: str) -> None:
    some = sa.text(where)
    op.create_index(f"ix_{table}_{name}", table, columns, sqlite_where=some, postgresql_where=some)
