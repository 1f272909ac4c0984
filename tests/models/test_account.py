"""Accounts: the keys of their bookings, their API keys, and the registry that processes ask."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from models.account import (
    DEFAULT,
    Account,
    AccountConfig,
    UnusableAccount,
    account_of,
    booking_key,
    check_key,
    check_name,
    meetergo_id,
)
from models.account_cache import Accounts
from models.migrate import migrate
from models.privacy.reencryption import reencrypt
from runtime.database import Database, schema_of
from runtime.encryption import BodyCipher
from runtime.errors import Permanent, Transient
from tests.another_database import another_database
from tests.models.test_migrate import downgrade

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
KEY = "a-secret-of-the-company"
names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True) | st.just(DEFAULT)
ids = st.text(max_size=20) | st.builds("{}:{}".format, names, st.text(max_size=5))


@given(names, ids)
def test_a_key_says_the_account_and_meetergos_id(account: str, booking_id: str) -> None:
    key = booking_key(account, booking_id)
    assert (account_of(key), meetergo_id(account, key)) == (account, booking_id)


def test_the_keys_of_the_default_account_are_meetergos_ids() -> None:
    assert booking_key(DEFAULT, "0b7d-1") == "0b7d-1"
    assert booking_key("acme", "0b7d-1") == "acme:0b7d-1"
    assert booking_key(DEFAULT, "acme:0b7d-1") == "default:acme:0b7d-1"


def test_a_key_that_no_column_holds_is_refused() -> None:
    assert check_key("k" * 255) == "k" * 255
    with pytest.raises(Permanent, match="longer than 255 characters together"):
        check_key("k" * 256)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 65, DEFAULT, "own"])
def test_a_name_that_no_account_may_have_is_refused(name: str) -> None:
    with pytest.raises(UnusableAccount):
        check_name(name, webhook_account="own")
    assert check_name("acme", webhook_account="own") == "acme"


@pytest.fixture
def cipher() -> BodyCipher:
    return BodyCipher([Fernet.generate_key().decode()])


@pytest.fixture
def accounts(database: Database, cipher: BodyCipher) -> Accounts:
    return Accounts(database, cipher, AccountConfig(DEFAULT), webhook_account="own")


def add(database: Database, name: str, cipher: BodyCipher | None = None, **columns: object) -> None:
    row = Account(name=name, created_at=NOW, updated_at=NOW, **columns)
    if cipher:
        row.set_api_key(KEY, cipher)
    with database.transaction() as session:
        session.add(row)


def test_an_account_is_found_by_its_name(database: Database, accounts: Accounts, cipher: BodyCipher) -> None:
    add(database, "acme", cipher, company_id="c-1", channels=["log:"], reconcile_days=7, api_user="u-1")
    add(database, "former", is_active=False)
    acme = accounts.get("acme")
    assert acme == AccountConfig(
        "acme", company_id="c-1", channels=("log:",), reconcile_days=7, api_user="u-1", is_active=True
    )
    assert acme
    assert acme.api_key() == KEY
    assert (accounts.get(DEFAULT), accounts.get("own"), accounts.get("none")) == (accounts.default,) * 2 + (None,)
    assert [each.name for each in accounts.all()] == [DEFAULT, "acme", "former"]
    assert accounts.others() == ["acme", "former"]
    assert [accounts.accepts(name) for name in (DEFAULT, "acme", "former", "none")] == [True, True, False, False]


def test_the_key_is_in_no_text_of_an_account(database: Database, accounts: Accounts, cipher: BodyCipher) -> None:
    add(database, "acme", cipher)
    with database.read_only() as session:
        row = session.get_one(Account, "acme")
    assert KEY.encode() not in (row.sealed_api_key or b"")
    assert KEY not in f"{accounts.get('acme')!r} {row!r} {vars(row)}"


def test_a_key_is_not_stored_without_body_keys() -> None:
    with pytest.raises(UnusableAccount, match="set BODY_KEYS"):
        Account(name="acme").set_api_key(KEY, BodyCipher([]))


def test_a_key_can_be_kept_elsewhere(
    database: Database, accounts: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACME_KEY", KEY)
    (tmp_path / "key").write_text(f"{KEY}\n")
    for name, source in {"env": "env:ACME_KEY", "file": f"file:{tmp_path}/key", "no": "env:NO_SUCH_KEY"}.items():
        row = Account(name=name, created_at=NOW, updated_at=NOW)
        row.set_api_key_source(source)
        with database.transaction() as session:
            session.add(row)
    found = {each.name: each for each in accounts.all()}
    assert (found["env"].api_key(), found["file"].api_key(), found[DEFAULT].api_key()) == (KEY, KEY, "")
    with pytest.raises(Transient, match="NO_SUCH_KEY is not set"):
        found["no"].api_key()


@pytest.mark.parametrize("source", ["KEY", "env:", "env:A B", "file:relative", "https://example.com"])
def test_a_source_that_is_no_source_is_refused(source: str) -> None:
    with pytest.raises(UnusableAccount, match="env:NAME or file:/path"):
        Account(name="acme").set_api_key_source(source)


def test_the_last_known_accounts_are_kept_while_the_database_is_down(tmp_path: Path, cipher: BodyCipher) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    accounts = Accounts(database, cipher, AccountConfig(DEFAULT), DEFAULT)
    assert accounts.accepts("acme"), "there are no tables yet, so nothing is known"
    migrate(database.engine)
    add(database, "acme")
    add(database, "former", is_active=False)
    known = Accounts(database, cipher, AccountConfig(DEFAULT), DEFAULT)
    assert not known.accepts("former")
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE accounts RENAME TO away"))
    assert [known.accepts(name) for name in ("acme", "former", "new")] == [True, False, True]
    database.close()


@pytest.mark.parametrize("channels", ['"https://example.com"', "5", "{}"])
def test_channels_that_are_no_list_are_those_of_no_channel(
    database: Database, accounts: Accounts, channels: str
) -> None:
    add(database, "acme")
    executor(database)(f"UPDATE accounts SET channels = '{channels}'")
    acme = accounts.get("acme")
    assert acme
    assert acme.channels == ("unreadable",)


@pytest.mark.parametrize("column", ["channels", "created_at", "api_key_expires"])
def test_a_row_that_cannot_be_read_hides_no_other(tmp_path: Path, cipher: BodyCipher, column: str) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    migrate(database.engine)
    for name in ("acme", "beta"):
        add(database, name)
    known, other = (Accounts(database, cipher, AccountConfig(DEFAULT), DEFAULT) for _ in range(2))
    assert known.others() == ["acme", "beta"]
    executor(database)(f"UPDATE accounts SET {column} = '[by hand' WHERE name = 'acme'")
    assert other.get("beta")
    assert [known._known(timedelta(0)).get(name) is not None for name in ("acme", "beta")] == [True, True]
    assert other.accepts("acme"), "the worker decides, once it can be read"
    database.close()


def test_a_thread_that_asks_while_another_reads_for_the_first_time_waits_for_it(
    tmp_path: Path, cipher: BodyCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    migrate(database.engine)
    add(database, "acme")
    accounts = Accounts(database, cipher, AccountConfig(DEFAULT), DEFAULT)
    began, may_go_on = hold_next_read(accounts, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(accounts.others)
        assert began.wait(60)
        second = pool.submit(accounts.others)
        may_go_on.set()
        assert (first.result(60), second.result(60)) == (["acme"], ["acme"])
    database.close()


def test_a_new_account_is_accepted_while_another_thread_reads(
    tmp_path: Path, cipher: BodyCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    migrate(database.engine)
    accounts = Accounts(database, cipher, AccountConfig(DEFAULT), DEFAULT)
    assert accounts.others() == []
    add(database, "acme")
    began, may_go_on = hold_next_read(accounts, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(accounts.accepts, "acme")
        assert began.wait(60)
        second = pool.submit(accounts.accepts, "acme")
        wait([second], timeout=0.2)
        may_go_on.set()
        assert (first.result(60), second.result(60)) == (True, True)
    database.close()


def hold_next_read(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> tuple[Event, Event]:
    """Hold a read of the accounts; return an event when it has begun, and one that lets it go on."""
    read, began, may_go_on = accounts._read, Event(), Event()

    def slow_read() -> None:
        began.set()
        assert may_go_on.wait(60)
        read()

    monkeypatch.setattr(accounts, "_read", slow_read)
    return began, may_go_on


@pytest.fixture(params=["sqlite", "postgresql"])
def former_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the version before accounts, with a host, a booking and a delivery."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'former.db'}")
        yield filled(database, NOW.isoformat())
        database.close()
        return
    with another_database(request.getfixturevalue("postgresql_url"), "former_accounts") as url:
        database = Database(url)
        yield filled(database, NOW)
        database.close()


def filled(database: Database, now: object) -> Database:
    migrate(database.engine, "0014")
    execute = executor(database)
    execute("INSERT INTO platform_users (external_id, meetergo_user_id) VALUES ('4711', 'host-1')")
    execute(
        "INSERT INTO bookings (id, status, attendees, host_ids, metadata, as_of, created_at, updated_at, version,"
        " revision, facts, platform_user_id) SELECT 'b-1', 'confirmed', '[]', '[\"host-1\"]', '{}', :now, :now, :now,"
        " '', 1, '{}', id FROM platform_users",
        now=now,
    )
    execute(
        "INSERT INTO deliveries (id, account, source, body, received_at, status, attempts, due_at)"
        " VALUES ('d-1', 'own-name', 'webhook', '', :now, 'done', 0, :now)",
        now=now,
    )
    return database


def executor(database: Database) -> Callable[..., list[tuple[object, ...]]]:
    def execute(statement: str, **parameters: object) -> list[tuple[object, ...]]:
        with database.engine.begin() as connection:
            schema = schema_of(connection)
            if schema:
                connection.execute(text(f"SET LOCAL search_path TO {schema}"))
            result = connection.execute(text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []

    return execute


HOSTS = "SELECT booking_id, external_id, is_owner, account FROM booking_hosts_v1"


def test_migrating_gives_everything_to_the_default_account(former_database: Database) -> None:
    execute = executor(former_database)
    migrate(former_database.engine)
    for table in ("platform_users", "bookings", "deliveries"):
        assert execute(f"SELECT account FROM {table}") == [(DEFAULT,)]
    assert execute(HOSTS) == [("b-1", "4711", True, DEFAULT)]
    execute("INSERT INTO platform_users (external_id, account, meetergo_user_id) VALUES ('9', 'acme', 'host-1')")
    assert execute(HOSTS) == [("b-1", "4711", True, DEFAULT)], "a host of another account is another host"
    with pytest.raises(Exception, match=r"(?i)unique"):
        execute("INSERT INTO platform_users (external_id, account, meetergo_user_id) VALUES ('8', 'acme', 'host-1')")
    downgrade(former_database, "0014")
    assert execute("SELECT external_id, meetergo_user_id FROM platform_users ORDER BY id") == [
        ("4711", "host-1"),
        ("9", None),
    ]
    assert execute("SELECT booking_id, external_id FROM booking_hosts_v1") == [("b-1", "4711")]
    migrate(former_database.engine)
    assert execute(HOSTS) == [("b-1", "4711", True, DEFAULT)]


def test_migrating_keeps_what_the_platform_made_beside_the_hosts(former_database: Database) -> None:
    execute = executor(former_database)
    execute(
        "CREATE VIEW of_the_platform AS SELECT bookings_v1.id FROM bookings_v1 JOIN platform_users"
        " ON platform_users.id = bookings_v1.platform_user_id"
    )
    execute("CREATE TABLE cases (id integer PRIMARY KEY, host_id integer REFERENCES platform_users (id))")
    execute("CREATE INDEX ix_of_the_platform ON platform_users (name)")
    execute("INSERT INTO cases SELECT 1, id FROM platform_users")
    is_sqlite = not former_database.supports_skip_locked
    if is_sqlite:
        execute(
            "CREATE TRIGGER of_the_platform_too AFTER INSERT ON platform_users"
            " BEGIN INSERT INTO cases SELECT 2, NEW.id; END"
        )
    migrate(former_database.engine)
    assert execute("SELECT id FROM of_the_platform") == [("b-1",)]
    execute("INSERT INTO platform_users (external_id) VALUES ('new')")
    assert execute("SELECT id FROM cases ORDER BY id") == ([(1,), (2,)] if is_sqlite else [(1,)])
    if is_sqlite:
        indexes = "SELECT name FROM sqlite_master WHERE tbl_name = 'platform_users' AND name LIKE 'ix%' ORDER BY name"
        assert ("ix_of_the_platform",) in execute(indexes)
        assert ("ix_platform_users_lower_email",) in execute(indexes)
        with pytest.raises(Exception, match="FOREIGN KEY"):
            execute("INSERT INTO cases VALUES (3, 99)")


def test_the_keys_are_encrypted_with_a_newer_one(database: Database, cipher: BodyCipher) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    add(database, "acme", BodyCipher([old]))
    add(database, "lost", cipher)
    add(database, "none")
    result = reencrypt(database, BodyCipher([old, new]))
    assert (result.api_keys, [*result.failed]) == (1, ["account lost"])
    accounts = Accounts(database, BodyCipher([new]), AccountConfig(DEFAULT), DEFAULT)
    acme = accounts.get("acme")
    assert acme
    assert acme.api_key() == KEY
