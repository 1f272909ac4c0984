"""several accounts: each row says to which it belongs. What is there belongs to the account `default`.

A host's id is unique within an account. SQLite can only drop the former rule by making `platform_users` again; what
the platform has made for that table (indexes, triggers) is kept, and so are views that read it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql")
TABLES = ("platform_users", "bookings", "booking_changes", "notifications", "reconciliations", "interventions")
WAITS, IS_OTHER = "status = 'pending'", "account <> 'default'"
DUE = {"deliveries": ["attempts", "due_at", "received_at", "id"], "notifications": ["due_at", "id"]}

BOOKINGS = """
CREATE {or_replace} VIEW bookings_v1 AS
SELECT bookings.id, bookings.revision, bookings.status, bookings.platform_user_id, platform_users.external_id,
       bookings.starts_at, bookings.ends_at, bookings.meeting_type_id, bookings.meeting_name, bookings.meeting_link,
       bookings.location, bookings.attendees, bookings.host_ids, bookings.metadata, bookings.cancel_reason,
       bookings.cancelled_by, bookings.as_of, bookings.created_at, bookings.updated_at{bookings_account}
FROM bookings LEFT JOIN platform_users ON platform_users.id = bookings.platform_user_id
"""
CHANGES = """
CREATE {or_replace} VIEW booking_changes_v1 AS
SELECT id, booking_id, revision, kind, before, after, news AS notification_kinds, delivery_id, at{account}
FROM booking_changes
"""
HOSTS = """
CREATE {or_replace} VIEW booking_hosts_v1 AS
SELECT bookings.id AS booking_id, {host_id} AS meetergo_user_id, platform_users.id AS platform_user_id,
       platform_users.external_id, coalesce(platform_users.id = bookings.platform_user_id, {false}) AS is_owner
       {bookings_account}
FROM bookings
CROSS JOIN {hosts}
LEFT JOIN platform_users ON platform_users.meetergo_user_id = {host_id} {same_account}
UNION ALL
SELECT bookings.id, platform_users.meetergo_user_id, platform_users.id, platform_users.external_id, {true}
       {bookings_account}
FROM bookings JOIN platform_users ON platform_users.id = bookings.platform_user_id
WHERE platform_users.meetergo_user_id IS NULL OR NOT {is_host}
"""
VIEWS = ("bookings_v1", "booking_changes_v1", "booking_hosts_v1")
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
WITH_ACCOUNT = {
    "account": ", account",
    "bookings_account": ", bookings.account",
    "same_account": "AND platform_users.account = bookings.account",
}
WITHOUT_ACCOUNT = dict.fromkeys(WITH_ACCOUNT, "")


def upgrade() -> None:
    _create_accounts()
    for table in TABLES:
        op.add_column(table, _account())
    op.add_column("api_tokens", sa.Column("account", sa.String(length=64), nullable=True))
    op.add_column("meetergo_employees", _account())
    op.execute("UPDATE api_tokens SET account = 'default'")
    op.execute("UPDATE deliveries SET account = 'default' WHERE account <> 'default'")  # it was WEBHOOK_ACCOUNT
    _make_unique(["meetergo_user_id"], ["meetergo_user_id", "account"])
    for table, columns in DUE.items():
        op.drop_index(f"ix_{table}_due", table_name=table)
        _index_some(f"ix_{table}_due", table, [*columns, "account"], WAITS)
        _index_some(f"ix_{table}_due_of_account", table, ["account", *columns], f"{WAITS} AND {IS_OTHER}")
    _index_some("ix_booking_changes_of_account", "booking_changes", ["account", "feed_batch", "id"], IS_OTHER)
    _index_some("ix_bookings_of_account", "bookings", ["account", "id"], IS_OTHER)
    _index_some("ix_bookings_of_account_starts_at", "bookings", ["account", "starts_at", "id"], IS_OTHER)
    if _is_postgresql():
        _create_views(WITH_ACCOUNT, "OR REPLACE")
    else:
        _drop_views()
        _create_views(WITH_ACCOUNT)


def downgrade() -> None:
    """Keep the rows of the other accounts, but map a host's id once only."""
    _drop_views()
    op.drop_index("ix_bookings_of_account_starts_at", table_name="bookings")
    op.drop_index("ix_bookings_of_account", table_name="bookings")
    op.drop_index("ix_booking_changes_of_account", table_name="booking_changes")
    for table, columns in DUE.items():
        op.drop_index(f"ix_{table}_due_of_account", table_name=table)
        op.drop_index(f"ix_{table}_due", table_name=table)
        _index_some(f"ix_{table}_due", table, columns, WAITS)
    op.execute(
        "UPDATE platform_users SET meetergo_user_id = NULL WHERE account <> 'default' AND meetergo_user_id IN"
        " (SELECT meetergo_user_id FROM platform_users GROUP BY meetergo_user_id HAVING count(*) > 1)"
    )
    _make_unique(["meetergo_user_id", "account"], ["meetergo_user_id"])
    op.drop_column("meetergo_employees", "account")
    op.drop_column("api_tokens", "account")
    for table in TABLES:
        op.drop_column(table, "account")
    op.drop_table("accounts")
    _create_views(WITHOUT_ACCOUNT)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("company_id", sa.String(length=255), nullable=True),
        sa.Column("api_key", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_with", sa.String(length=12), nullable=True),
        sa.Column("api_key_from", sa.Text(), nullable=True),
        sa.Column("api_user", sa.String(length=255), nullable=True),
        sa.Column("channels", JSON, nullable=True),
        sa.Column("reconcile_days", sa.Integer(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
    )


def _account() -> sa.Column[str]:
    return sa.Column("account", sa.String(length=64), nullable=False, server_default="default")


def _make_unique(before: list[str], after: list[str]) -> None:
    """Replace the rule that a host's id is unique."""
    old, new = (f"uq_platform_users_{'_'.join(columns)}" for columns in (before, after))
    if _is_postgresql():
        op.drop_constraint(old, "platform_users", type_="unique")
        op.create_unique_constraint(new, "platform_users", after)
        return
    made, others = _of_platform_users()
    rule = f"CONSTRAINT {old} UNIQUE ({', '.join(before)})"
    assert rule in made, f"platform_users has been changed: there is no {rule}"  # noqa: S101 - or all rows are at risk
    made = made.replace(rule, f"CONSTRAINT {new} UNIQUE ({', '.join(after)})")
    with _renaming_only_the_table():
        op.execute("ALTER TABLE platform_users RENAME TO platform_users_before")
        op.get_bind().exec_driver_sql(made)
        columns = ", ".join(column["name"] for column in sa.inspect(op.get_bind()).get_columns("platform_users"))
        op.execute(f"INSERT INTO platform_users ({columns}) SELECT {columns} FROM platform_users_before")  # noqa: S608
        op.execute("DROP TABLE platform_users_before")
    for statement in others:
        op.get_bind().exec_driver_sql(statement)


def _of_platform_users() -> tuple[str, list[str]]:
    """Return the statements that made the table on SQLite, and its indexes and triggers."""
    of_table = "FROM sqlite_master WHERE tbl_name = 'platform_users' AND sql IS NOT NULL"
    rows = op.get_bind().exec_driver_sql(f"SELECT type, sql {of_table} ORDER BY rowid").all()
    (made,) = (statement for kind, statement in rows if kind == "table")
    return made, [statement for kind, statement in rows if kind in ("index", "trigger")]


@contextmanager
def _renaming_only_the_table() -> Iterator[None]:
    """Let views, triggers and foreign keys go on naming `platform_users`, as they name the new one."""
    op.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        op.execute("PRAGMA legacy_alter_table = OFF")


def _drop_views() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")


def _create_views(account: dict[str, str], or_replace: str = "") -> None:
    dialect = POSTGRESQL if _is_postgresql() else SQLITE
    for view in (BOOKINGS, CHANGES, HOSTS):
        op.execute(view.format_map({**dialect, **account, "or_replace": or_replace}))


def _index_some(name: str, table: str, columns: list[str], where: str) -> None:
    some = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=some, postgresql_where=some)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
