"""Settings come from the environment, then from `.env`; a bad one ends the process with a message."""

from pathlib import Path

import pytest

from runtime.settings import AddressSettings, DatabaseSettings, StoreSettings

KEYS = ["old-key-" * 4, "new-key-" * 4]
NAMES = "DATABASE_URL", "REDIS_URL", "WEBHOOK_KEYS", "WEBHOOK_ACCOUNT"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "text", ["{},{}", " {} , {} ", ",{},,{},", "{},\n{}\n"], ids=["plain", "spaces", "empty parts", "lines"]
)
def test_a_list_is_split_at_its_commas(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WEBHOOK_KEYS", text.format(*KEYS))
    assert AddressSettings.load().webhook_keys == KEYS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h:5432/d?sslmode=require", "postgresql+psycopg://u:p@h:5432/d?sslmode=require"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("sqlite:///inbox.db", "sqlite:///inbox.db"),
    ],
)
def test_every_usual_form_of_a_database_url_gets_our_driver(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    assert DatabaseSettings.load().database_url == expected


def test_without_a_database_url_there_is_a_file_below_the_working_directory(tmp_path: Path) -> None:
    assert DatabaseSettings.load().database_url == "sqlite:///data/inbox.db"
    assert (tmp_path / "data").is_dir()


def test_the_folder_of_an_sqlite_file_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/a/b/inbox.db")
    DatabaseSettings.load()
    assert (tmp_path / "a" / "b").is_dir()


def test_the_environment_overrides_the_file_and_an_empty_variable_unsets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"WEBHOOK_KEYS={KEYS[0]}\nWEBHOOK_ACCOUNT=from-file\nSOMETHING_ELSE=1\n")
    assert AddressSettings.load().webhook_account == "from-file"
    monkeypatch.setenv("WEBHOOK_ACCOUNT", "from-environment")
    assert AddressSettings.load().webhook_account == "from-environment"
    monkeypatch.setenv("WEBHOOK_ACCOUNT", "")
    assert AddressSettings.load().webhook_account == "default"
    assert AddressSettings.load().webhook_keys == [KEYS[0]]


@pytest.mark.parametrize(
    ("settings", "name", "value", "expected"),
    [
        (AddressSettings, "WEBHOOK_KEYS", None, "is not set: put it into the environment or into .env"),
        (AddressSettings, "WEBHOOK_KEYS", "hidden-" * 4, "at least 32 characters"),
        (AddressSettings, "WEBHOOK_KEYS", f"{KEYS[0]},hidden", "at least 32 characters"),
        (AddressSettings, "WEBHOOK_KEYS", ",", "at least one key"),
        (AddressSettings, "WEBHOOK_ACCOUNT", "hidden/hidden", "1 to 64 letters"),
        (AddressSettings, "WEBHOOK_ACCOUNT", "h" * 65, "1 to 64 letters"),
        (DatabaseSettings, "DATABASE_SCHEMA", "Bookings", "1 to 63 lowercase letters"),
        (DatabaseSettings, "DATABASE_SCHEMA", "pg_bookings", "no schema of PostgreSQL's own"),
        (DatabaseSettings, "DATABASE_URL", "mysql://hidden@h/d", "should look like 'sqlite:///file'"),
        (StoreSettings, "REDIS_URL", None, "is not set"),
        (StoreSettings, "REDIS_URL", "http://hidden@h", "should look like 'redis://host"),
    ],
)
def test_a_bad_setting_ends_the_process_with_a_message_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: type[DatabaseSettings],
    name: str,
    value: str | None,
    expected: str,
) -> None:
    monkeypatch.setenv("WEBHOOK_KEYS", ",".join(KEYS))
    monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as end:
        settings.load()
    [message] = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert message.startswith(f"{name} ")
    assert expected in message
    assert "hidden" not in message


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_KEYS", ",".join(KEYS))
    monkeypatch.setenv("DATABASE_URL", "postgres://u:hidden@h/d")
    monkeypatch.setenv("REDIS_URL", "redis://:hidden@h/0")
    shown = repr(AddressSettings.load()) + str(StoreSettings.load())
    assert "hidden" not in shown
    assert not [key for key in KEYS if key in shown]
