"""SQLite's file is replaced or removed while processes have it open, such as by a restore that stopped only some."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from models.delivery import Delivery, NewDelivery
from models.migrate import migrate
from models.migrations.takeover import UnusableDatabase
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.private_files import GROUP_AND_OTHERS

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def accept(database: Database, body: bytes) -> None:
    with database.engine.begin() as connection:
        Delivery.accept(connection, [NewDelivery.from_body(body, "default", AT, BodyCipher([]))])


def accepted(database: Database) -> int:
    with database.read_only() as session:
        return session.execute(select(func.count()).select_from(Delivery)).scalar_one()


def remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink()


@pytest.fixture
def file(migrated_sqlite: Path, tmp_path: Path) -> Path:
    shutil.copy(migrated_sqlite, tmp_path / "copy.db")
    return Path(shutil.copy(migrated_sqlite, tmp_path / "inbox.db"))


def test_what_is_accepted_afterwards_is_in_the_new_file(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    accept(database, b"{}")
    remove(file)
    shutil.copy(file.with_name("copy.db"), file)
    accept(database, b"[]")
    assert accepted(database) == 1
    other = Database(f"sqlite:///{file}")
    assert accepted(other) == 1
    database.close()
    other.close()


def test_without_a_file_nothing_is_accepted_and_none_is_made(file: Path) -> None:
    """Such as while its folder is moved away, and a command has made that anew."""
    database, away = Database(f"sqlite:///{file}"), file.with_name("away.db")
    accept(database, b"{}")
    database.close()  # its log is in the file
    file.rename(away)
    for opened in (database, Database(f"sqlite:///{file}")):
        with pytest.raises(OperationalError, match=f"there is no file {file}: bring it back"):
            accept(opened, b"[]")
    assert not file.exists()
    away.rename(file)
    accept(database, b"[]")
    assert accepted(database) == 2
    database.close()


def test_only_a_migration_makes_the_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new.db")
    migrate(database.engine)
    accept(database, b"{}")
    assert accepted(database) == 1
    assert (tmp_path / "new.db").stat().st_mode & GROUP_AND_OTHERS == 0
    database.close()


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/inbox.db")
    with pytest.raises(UnusableDatabase, match=r"missing/inbox.db cannot be made: No such file"):
        migrate(database.engine)
    database.close()


def test_what_is_accepted_after_a_link_leads_elsewhere_is_where_it_leads(file: Path, tmp_path: Path) -> None:
    """A link in the path as well, such as `current` of a deployment in releases."""
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        shutil.copy(file, tmp_path / release / "inbox.db")
    current = tmp_path / "current"
    current.symlink_to("1")
    database = Database(f"sqlite:///{current}/inbox.db")
    accept(database, b"{}")
    current.unlink()
    current.symlink_to("2")
    accept(database, b"[]")
    database.close()
    for release in ("1", "2"):
        of_release = Database(f"sqlite:///{tmp_path / release}/inbox.db")
        assert accepted(of_release) == 1
        of_release.close()
