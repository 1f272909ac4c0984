"""views for platforms, so that the tables' columns stay free to change.

A later migration that rebuilds or renames a column that a view reads drops the views first and makes them again with
the same columns. A view that loses or changes a column gets a new name, such as `bookings_v2`.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BOOKINGS = """
CREATE VIEW bookings_v1 AS
SELECT bookings.id, bookings.revision, bookings.status, bookings.platform_user_id, platform_users.external_id,
       bookings.starts_at, bookings.ends_at, bookings.meeting_type_id, bookings.meeting_name, bookings.meeting_link,
       bookings.location, bookings.attendees, bookings.host_ids, bookings.metadata, bookings.cancel_reason,
       bookings.cancelled_by, bookings.as_of, bookings.created_at, bookings.updated_at
FROM bookings LEFT JOIN platform_users ON platform_users.id = bookings.platform_user_id
"""
CHANGES = """
CREATE VIEW booking_changes_v1 AS
SELECT id, booking_id, revision, kind, before, after, news AS notification_kinds, delivery_id, at
FROM booking_changes
"""
HOSTS = """
CREATE VIEW booking_hosts_v1 AS
SELECT bookings.id AS booking_id, {host_id} AS meetergo_user_id, platform_users.id AS platform_user_id,
       platform_users.external_id, coalesce(platform_users.id = bookings.platform_user_id, {false}) AS is_owner
FROM bookings
CROSS JOIN {hosts}
LEFT JOIN platform_users ON platform_users.meetergo_user_id = {host_id}
UNION ALL
SELECT bookings.id, platform_users.meetergo_user_id, platform_users.id, platform_users.external_id, {true}
FROM bookings JOIN platform_users ON platform_users.id = bookings.platform_user_id
WHERE platform_users.meetergo_user_id IS NULL OR NOT {is_host}
"""
"""The last part: an owner by meeting type alone is no host of meetergo's."""
POSTGRESQL = {
    "host_id": "CAST(host.id AS varchar(255))",
    "hosts": "LATERAL jsonb_array_elements_text("
    "CASE jsonb_typeof(bookings.host_ids) WHEN 'array' THEN bookings.host_ids ELSE '[]' END) AS host(id)",
    "is_host": "bookings.host_ids @> to_jsonb(CAST(platform_users.meetergo_user_id AS text))",
    "true": "true",
    "false": "false",
}
HOST_IDS = "CASE WHEN json_valid(bookings.host_ids) THEN bookings.host_ids ELSE '[]' END"
SQLITE = {
    "host_id": "host.value",
    "hosts": f"json_each({HOST_IDS}) AS host",
    "is_host": f"EXISTS (SELECT 1 FROM json_each({HOST_IDS}) WHERE value = platform_users.meetergo_user_id)",  # noqa: S608
    "true": "1",
    "false": "0",
}


def upgrade() -> None:
    dialect = POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE
    for view in (BOOKINGS, CHANGES, HOSTS.format_map(dialect)):
        op.execute(view)


def downgrade() -> None:
    for name in ("booking_hosts_v1", "booking_changes_v1", "bookings_v1"):
        op.execute(f"DROP VIEW {name}")
