"""An installation from before DATABASE_SCHEMA is taken over: with all rows, once, and nothing of a platform's."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

import pytest
from sqlalchemy import inspect, select, text

from benchmarks.growth.fill import fill
from models.migrate import migrate
from models.migrations.newer import is_up_to_date, newest_known
from models.migrations.takeover import NEW_TABLES, VERSION_TABLE, UnusableDatabase
from models.platform_user import PlatformUser
from models.tables import Booking
from runtime.database import Database, create_file, schema_of
from tests.another_database import another_database
from tests.console.cli import run_cli_in
from tests.raw_sql import sql
from tests.runtime.test_database_sessions import administer

ROWS = 20
TABLES = {name for names in NEW_TABLES.values() for name in names}
OF_AN_ACCOUNT = [
    "platform_users",
    "bookings",
    "booking_changes",
    "notifications",
    "reconciliations",
    "interventions",
    "meetergo_employees",
    "incidents",
    "endpoints",
]
ADDED_LATER = {
    *(f"{table}.account" for table in OF_AN_ACCOUNT),
    "booking_changes.feed_batch",
    "incidents.details",
    "platform_users.calendar_feed_id",
    "reconciliations.undelivered",
}
"""Columns that no former release has."""
TODAYS_TABLES = {VERSION_TABLE, *(table.name for table in Booking.metadata.sorted_tables)}
Open = Callable[..., Database]


@pytest.fixture
def platform_url(postgresql_url: str) -> Iterator[str]:
    with another_database(postgresql_url, "platform") as url:
        yield url


@pytest.fixture
def open_database() -> Iterator[Open]:
    opened: list[Database] = []

    def open_one(url: str, schema: str = "meetergo_inbox") -> Database:
        opened.append(Database(url, schema=schema))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/inbox.db" if request.param == "sqlite" else request.getfixturevalue("platform_url")


def install_former(database: Database, version: str = max(NEW_TABLES)) -> None:
    """Make the tables as a former release did: in `public`, with their version in `alembic_version`."""
    migrate(database.engine, version)
    schema = schema_of(database.engine)
    with database.engine.begin() as connection:
        name = f"{schema}.meetergo_inbox_version" if schema else "meetergo_inbox_version"
        connection.execute(text(f"ALTER TABLE {name} RENAME TO alembic_version"))


def versions(database: Database, table: str) -> list[str]:
    with database.engine.connect() as connection:
        return list(connection.scalars(text(f"SELECT version_num FROM {table} ORDER BY 1")))


def tables(database: Database, schema: str | None) -> set[str]:
    return {*inspect(database.engine).get_table_names(schema=schema)}


def contents(database: Database) -> dict[str, list[str]]:
    """Return the rows of the tables that a former release has, with its columns."""
    columns = {
        table.name: [column for column in table.c if f"{table.name}.{column.name}" not in ADDED_LATER]
        for table in Booking.metadata.sorted_tables
        if table.name in TABLES
    }
    with database.read_only() as session:
        return {name: sorted(repr(row) for row in session.execute(select(*of))) for name, of in columns.items()}


def test_no_row_is_lost(url: str, open_database: Open) -> None:
    former, database = open_database(url, "public"), open_database(url)
    install_former(former)
    fill(former, ROWS, datetime.now(UTC))
    before = contents(former)
    assert len(before["deliveries"]) == ROWS

    notes = migrate(database.engine)

    assert contents(database) == before
    assert is_up_to_date(database.engine)
    with database.transaction() as session:  # its sequence moved too
        session.add(PlatformUser(external_id="new"))
    schema = schema_of(database.engine)
    assert tables(database, schema) == TODAYS_TABLES
    if schema:
        assert tables(database, "public") == set()
        assert notes == [
            "Moved 13 tables with all rows from the schema public to meetergo_inbox."
            " The platform's SQL has to name the schema from now on (see docs/upgrading.md).",
            f"Migrated the tables from version 0008 to {newest_known()}.",
        ]
    after = contents(database)
    assert migrate(database.engine) == []
    assert contents(database) == after


@pytest.mark.parametrize("version", ["0001", "0006"])
def test_an_older_version_is_taken_over_and_migrated(url: str, open_database: Open, version: str) -> None:
    install_former(open_database(url, "public"), version)
    database = open_database(url)
    if schema_of(database.engine):
        administer(url, "CREATE TABLE public.claims (of_the_platform int)")  # ours came with 0007
    migrate(database.engine)
    assert is_up_to_date(database.engine)
    if schema_of(database.engine):
        assert tables(database, "public") == {"claims"}


def test_in_public_the_version_alone_is_taken_over(platform_url: str, open_database: Open) -> None:
    database = open_database(platform_url, "public")
    install_former(database)
    fill(database, ROWS, datetime.now(UTC))
    before = contents(database)
    assert migrate(database.engine) == [f"Migrated the tables from version 0008 to {newest_known()}."]
    assert contents(database) == before
    assert tables(database, "public") == TODAYS_TABLES
    assert migrate(database.engine) == []


def test_tables_that_the_search_path_of_the_url_put_elsewhere_are_found(platform_url: str, open_database: Open) -> None:
    administer(platform_url, "CREATE SCHEMA bookings")
    install_former(open_database(platform_url, "bookings"))
    database = open_database(f"{platform_url}&options=-csearch_path%3Dbookings")
    migrate(database.engine)
    assert tables(database, "bookings") == set()
    assert tables(database, "meetergo_inbox") == TODAYS_TABLES


def test_the_row_of_a_platform_in_a_shared_version_table_stays(url: str, open_database: Open) -> None:
    former, database = open_database(url, "public"), open_database(url)
    install_former(former)
    with former.engine.begin() as connection:
        connection.execute(text("INSERT INTO alembic_version VALUES ('975ea1b1')"))
    migrate(database.engine)
    assert versions(database, "alembic_version") == ["975ea1b1"]


def test_tables_of_ours_without_a_version_of_ours_are_refused_until_it_is_written_down(
    url: str, open_database: Open
) -> None:
    former, database = open_database(url, "public"), open_database(url)
    install_former(former)
    fill(former, ROWS, datetime.now(UTC))
    before = contents(former)
    with former.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(UnusableDatabase, match="does not say their version: it is missing or empty") as refused:
        migrate(database.engine)
    assert contents(former) == before
    with former.engine.begin() as connection:
        for statement in str(refused.value).partition("migrate again: ")[2].split("; "):
            connection.execute(text(statement))
    migrate(database.engine)
    assert contents(database) == before


def test_half_an_installation_is_refused(url: str, open_database: Open) -> None:
    former, database = open_database(url, "public"), open_database(url)
    install_former(former)
    with former.engine.begin() as connection:
        connection.execute(text("DROP TABLE claims"))
    with pytest.raises(UnusableDatabase, match="version 0008, but claims is missing"):
        migrate(database.engine)
    assert "deliveries" in tables(former, schema_of(former.engine))


def test_who_may_read_a_table_may_read_it_where_it_is_now(platform_url: str, open_database: Open) -> None:
    former, database = open_database(platform_url, "public"), open_database(platform_url)
    install_former(former)
    administer(platform_url, "CREATE ROLE reader LOGIN", "GRANT SELECT ON public.bookings TO reader")
    migrate(database.engine)
    reader = open_database(platform_url.replace("postgres:@", "reader:@"))
    with reader.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM meetergo_inbox.bookings")) == 0
    reader.close()
    administer(platform_url, "DROP OWNED BY reader", "DROP ROLE reader")


def test_running_transactions_delay_the_move_and_do_not_fail_it(platform_url: str, open_database: Open) -> None:
    former = open_database(platform_url, "public")
    install_former(former)
    writer = former.engine.connect()
    writer.execute(text("LOCK TABLE public.bookings IN ROW EXCLUSIVE MODE"))
    timer = Timer(0.3, writer.close)
    timer.start()
    database = open_database(f"{platform_url}&options=-c%20lock_timeout%3D50")
    migrate(database.engine)
    timer.join()
    assert is_up_to_date(database.engine)


def test_an_installation_of_today_in_public_is_not_taken(platform_url: str, open_database: Open) -> None:
    first, second = open_database(platform_url, "public"), open_database(platform_url, "second")
    migrate(first.engine)
    fill(first, ROWS, datetime.now(UTC))
    before = contents(first)
    assert migrate(second.engine) == [f"Created the tables of version {newest_known()}."]
    assert contents(first) == before
    assert set(map(len, contents(second).values())) == {0}


def test_two_installations_with_the_same_names_in_redis_are_told(platform_url: str, open_database: Open) -> None:
    migrate(open_database(platform_url, "public").engine)
    *_, note = migrate(open_database(platform_url).engine)
    assert note == (
        "The schema public holds another installation. If both use one Redis, give one a REDIS_PREFIX of its own."
    )


@contextmanager
def role(url: str, name: str, *grants: str) -> Iterator[str]:
    """Yield the URL with a new role that may do what is granted only."""
    administer(url, f'CREATE ROLE "{name}" LOGIN', *grants)
    try:
        yield url.replace("postgres:@", f"{name}:@")
    finally:
        administer(url, f'DROP OWNED BY "{name}"', f'DROP ROLE "{name}"')


def refusal(database: Database) -> str:
    with pytest.raises(UnusableDatabase) as refused:
        migrate(database.engine)
    database.close()
    return str(refused.value)


def test_a_role_without_rights_is_told_what_to_grant(platform_url: str, open_database: Open) -> None:
    with role(platform_url, "clerk") as url:
        assert refusal(open_database(url)) == (
            "the role clerk may not create the schema meetergo_inbox in the database platform. Let its owner run:"
            " CREATE SCHEMA meetergo_inbox AUTHORIZATION clerk"
        )
        administer(platform_url, "CREATE SCHEMA taken")
        said = refusal(open_database(url, "taken"))
        assert "GRANT USAGE, CREATE ON SCHEMA taken TO clerk" in said
        administer(platform_url, "GRANT USAGE, CREATE ON SCHEMA taken TO clerk")
        migrate(open_database(url, "taken").engine)
        administer(platform_url, "CREATE SCHEMA meetergo_inbox AUTHORIZATION clerk")
        migrate(open_database(url).engine)


def test_the_statement_to_run_can_be_pasted_whatever_the_role_is_called(platform_url: str, open_database: Open) -> None:
    with role(platform_url, "Clerk-1") as url:
        statement = refusal(open_database(url)).rpartition("run: ")[2]
        administer(platform_url, statement)
        migrate(open_database(url).engine)


def test_a_role_that_does_not_own_the_former_tables_is_told_so(platform_url: str, open_database: Open) -> None:
    install_former(open_database(platform_url, "public"))
    grants = "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk", "GRANT CREATE ON DATABASE platform TO clerk"
    with role(platform_url, "clerk", *grants) as url:
        assert "migrate as the role that owns the tables" in refusal(open_database(url))
    assert versions(open_database(platform_url), "public.alembic_version") == ["0008"]


def test_a_migrated_database_needs_no_right_to_create(platform_url: str, open_database: Open) -> None:
    migrate(open_database(platform_url).engine)
    grants = (
        "GRANT USAGE ON SCHEMA meetergo_inbox TO clerk",
        "GRANT ALL ON ALL TABLES IN SCHEMA meetergo_inbox TO clerk",
    )
    with role(platform_url, "clerk", *grants) as url:
        database = open_database(url)
        assert migrate(database.engine) == []
        database.close()


def test_sequences_that_our_role_may_not_see_are_left_alone(platform_url: str, open_database: Open) -> None:
    with role(platform_url, "clerk") as url:
        administer(platform_url, "CREATE SCHEMA secret", "CREATE TABLE secret.files (id serial PRIMARY KEY)")
        administer(platform_url, "CREATE SCHEMA meetergo_inbox AUTHORIZATION clerk")
        database = open_database(url)
        migrate(database.engine)
        assert migrate(database.engine) == []
        database.close()


def test_a_version_that_row_level_security_hides_is_called_that(
    platform_url: str, open_database: Open, tmp_path: Path, redis_url: str
) -> None:
    with role(platform_url, "clerk") as url:
        administer(platform_url, "CREATE SCHEMA meetergo_inbox AUTHORIZATION clerk")
        database = open_database(url)
        migrate(database.engine)
        table = "meetergo_inbox.meetergo_inbox_version"
        administer(
            url, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY", f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
        )
        advice = f"row-level security hides the row of {table} from the role clerk"
        status = run_cli_in(tmp_path, "status", "--json", DATABASE_URL=url, REDIS_URL=redis_url)
        first, *_ = json.loads(status.stdout)["concerns"]
        assert first["what"].startswith(advice)
        assert first["command"] is None
        assert json.loads(status.stdout)["database"] == {"answers": True, "is_up_to_date": None}
        assert refusal(database).startswith(advice)
        administer(url, f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        assert migrate(database.engine) == []
        database.close()


def test_tables_whose_rows_row_level_security_keeps_from_us_are_named(
    platform_url: str, open_database: Open, tmp_path: Path, redis_url: str
) -> None:
    """Without a policy, a SELECT ... FOR UPDATE finds no row to send, and there is no error."""
    migrate(open_database(platform_url).engine)
    grants = (
        "GRANT USAGE ON SCHEMA meetergo_inbox TO clerk",
        "GRANT ALL ON ALL TABLES IN SCHEMA meetergo_inbox TO clerk",
    )
    table = "meetergo_inbox.notifications"
    with role(platform_url, "clerk", *grants) as url:
        database = open_database(url)

        def concerns() -> list[str]:
            status = run_cli_in(tmp_path, "status", "--json", DATABASE_URL=url, REDIS_URL=redis_url)
            return [each["what"] for each in json.loads(status.stdout)["concerns"] if "row-level" in each["what"]]

        policies = (
            f"CREATE POLICY may_{command} ON {table} FOR {command} TO clerk" for command in ("SELECT", "DELETE")
        )
        administer(
            platform_url,
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            *(f"{policy} USING (true)" for policy in policies),
            f"CREATE POLICY new ON {table} FOR INSERT TO PUBLIC WITH CHECK (true)",
        )
        (what,) = concerns()
        assert what.startswith("row-level security keeps rows of notifications from the role clerk")
        assert what.endswith(f"or run: ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        assert migrate(database.engine) == [f"Warning: {what}."]
        administer(platform_url, f"CREATE POLICY change ON {table} FOR UPDATE TO clerk USING (true)")
        assert (concerns(), migrate(database.engine)) == ([], [])
        database.close()


@pytest.mark.parametrize("kind", ["TABLE bookings (id int)", "VIEW notifications AS SELECT 1 AS one"])
def test_what_is_in_the_way_is_named(url: str, open_database: Open, kind: str) -> None:
    database = open_database(url, "public")
    create_file(database.engine)
    with database.engine.begin() as connection:
        connection.execute(text(f"CREATE {kind}"))
    name = kind.split()[1]
    place = "DATABASE_SCHEMA" if schema_of(database.engine) else "DATABASE_URL"
    with pytest.raises(UnusableDatabase, match=f"tables of others: {name}. Set {place}"):
        migrate(database.engine)
    assert tables(database, schema_of(database.engine)) <= {name}


def test_a_table_in_the_way_of_a_later_migration_is_named(url: str, open_database: Open) -> None:
    database = open_database(url, "public")
    migrate(database.engine, "0006")
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE claims (of_the_platform int)"))
    with pytest.raises(UnusableDatabase, match=r"something of others .*claims.* already exists"):
        migrate(database.engine)


def test_what_is_in_the_way_is_recognised_in_any_language(platform_url: str, open_database: Open) -> None:
    database = open_database(platform_url)
    migrate(database.engine, "0006")
    raised = "RAISE EXCEPTION 'Typ »claims« existiert bereits' USING ERRCODE = 'duplicate_object'"
    administer(
        platform_url,
        f"CREATE FUNCTION german() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {raised}; END $$",
        "CREATE EVENT TRIGGER german ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION german()",
    )
    with pytest.raises(UnusableDatabase, match=r"something of others \(Typ »claims« existiert bereits\)"):
        migrate(database.engine)


def test_a_copy_of_the_schema_without_its_rows_is_named(url: str, open_database: Open) -> None:
    database = open_database(url)
    migrate(database.engine)
    with database.engine.begin() as connection:
        connection.execute(sql(connection, f"DELETE FROM {VERSION_TABLE}"))
    with pytest.raises(UnusableDatabase, match=rf"{VERSION_TABLE} is empty, as in a copy of the schema"):
        migrate(database.engine)


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("DROP TABLE {}claims", "claims"),
        ("ALTER TABLE {}notifications DROP COLUMN recipient", "notifications.recipient"),
    ],
)
def test_a_version_without_its_tables_is_not_up_to_date(
    url: str, open_database: Open, statement: str, missing: str
) -> None:
    database = open_database(url)
    migrate(database.engine)
    schema = schema_of(database.engine)
    with database.engine.begin() as connection:
        connection.execute(text(statement.format(f"{schema}." if schema else "")))
    with pytest.raises(UnusableDatabase, match=f"says that the database is up to date, but there is no {missing}:"):
        migrate(database.engine)
