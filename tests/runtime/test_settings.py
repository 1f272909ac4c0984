"""Settings come from the environment, then from `.env`; a bad one ends the process with a message."""

from pathlib import Path

import pytest

from operations.settings import RegistrationSettings
from operations.status import StatusSettings
from receiver.settings import ReceiverSettings
from runtime.settings import AddressSettings, DatabaseSettings, EncryptedStoreSettings, Settings, StoreSettings
from worker.settings import ScheduleSettings

KEYS = ["old-key-" * 4, "new-key-" * 4]
OURS = "postgresql+psycopg"
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
        ("jdbc:postgresql://h/d?user=u&password=p", "postgresql+psycopg://h/d?user=u&password=p"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("PostgreSQL+psycopg2://u:postgres://@h/d", "postgresql+psycopg://u:postgres://@h/d"),
        ("postgresql://u:p%40@h/d?client_encoding=utf8", "postgresql+psycopg://u:p%40@h/d?client_encoding=utf8"),
        ("postgresql://u:p%40@%2Frun%2Fpg/d", "postgresql+psycopg://u:p%40@/d?host=%2Frun%2Fpg"),
        ("postgresql://u:p%40@h1:1,h2:2/d?sslmode=allow", f"{OURS}://u:p%40@/d?host=h1:1&host=h2:2&sslmode=allow"),
        ("postgresql://h1:1,h2", f"{OURS}:///?host=h1:1&host=h2"),
        ("postgresql://h1,h2:2/d", f"{OURS}://h1,h2:2/d"),
        ("postgresql://%2frun/d?sslmode=allow", "postgresql+psycopg:///d?host=%2Frun&sslmode=allow"),
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
        (DatabaseSettings, "DATABASE_URL", "sqlite:///hidden?.db", "takes no options"),
        (DatabaseSettings, "DATABASE_URL", "sqlite:///~/hidden.db", "write the whole path"),
        (DatabaseSettings, "DATABASE_URL", "sqlite:///file:hidden.db", "write the whole path"),
        (DatabaseSettings, "DATABASE_URL", "postgresql://hidden@h/d?client_encoding=LATIN1", "should be UTF8"),
        (DatabaseSettings, "DATABASE_URL", "postgresql://hidden@h/d?options=-cdatestyle%3DGerman", "set datestyle"),
        (DatabaseSettings, "DATABASE_URL", "postgresql://h/d?options=-c%20bytea_output%3Dx", "set bytea_output"),
        (DatabaseSettings, "DATABASE_URL", "postgresql://u:hid@den/hidden@h/d", "in a password, write '@' as %40"),
        (DatabaseSettings, "DATABASE_URL", '"postgresql://u:hidden@h/d"', "leave the quotes out"),
        (StoreSettings, "REDIS_URL", "'redis://:hidden@h/0'", "leave the quotes out"),
        (EncryptedStoreSettings, "BODY_KEYS", "'hidden','hidden'", "leave the quotes out"),
        (StoreSettings, "REDIS_URL", None, "is not set"),
        (StoreSettings, "REDIS_URL", "redis://:hid@den/hidden@h:6379/0", "in a password, write '@' as %40"),
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


@pytest.mark.parametrize("url", ["inbox.db", "mysql://hidden@h/d", "psql 'postgresql://u:hidden@h/d'"])
def test_what_is_no_url_of_ours_is_not_advised_on_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SystemExit):
        DatabaseSettings.load()
    assert "in a password" not in capsys.readouterr().err


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_KEYS", ",".join(KEYS))
    monkeypatch.setenv("DATABASE_URL", "postgres://u:hidden@h/d")
    monkeypatch.setenv("REDIS_URL", "redis://:hidden@h/0")
    shown = repr(AddressSettings.load()) + str(StoreSettings.load())
    assert "hidden" not in shown
    assert not [key for key in KEYS if key in shown]


SECRETS = {
    "ALERT_CHANNELS": "ntfy://topic",
    "BODY_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "DATABASE_URL": "postgresql+psycopg://u:p@h/d",
    "MEETERGO_API_KEY": "rgo-" + "x" * 40,
    "NOTIFY_DEFAULT": "https://example.com/hook",
    "NOTIFY_SIGNING_SECRET": "whsec_c2VjcmV0",
    "REDIS_URL": "redis://:p@h:6379/0",
    "SMTP_URL": "smtp://u:p@h:587",
    "WEBHOOK_KEYS": KEYS[0],
    "WEBHOOK_SIGNATURE_SECRETS": "whsec_c2VjcmV0",
}
KINDS = [ReceiverSettings, ScheduleSettings, RegistrationSettings, StatusSettings, EncryptedStoreSettings]


def secret_names() -> set[str]:
    return {name.upper() for kind in KINDS for name, field in kind.model_fields.items() if not field.repr}


@pytest.fixture
def secret_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Each secret in a file of its own, as Docker, Kubernetes and systemd give them."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, secret in SECRETS.items():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}_FILE", str(folder / name))
        (folder / name).write_text(f"{secret}\n")
    return folder


@pytest.mark.usefixtures("secret_files")
@pytest.mark.parametrize("kind", KINDS)
def test_every_secret_may_be_in_a_file_of_its_own(kind: type[Settings]) -> None:
    assert secret_names() == set(SECRETS)
    settings = kind.load()
    for name in SECRETS.keys() & {name.upper() for name in kind.model_fields}:
        value = getattr(settings, name.lower())
        assert SECRETS[name] in (value, *value[:1])


def test_the_name_of_a_file_may_be_in_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_bytes(f"\ufeff{KEYS[0]},{KEYS[1]}\r\n".encode())
    (tmp_path / ".env").write_text("WEBHOOK_KEYS=\nWEBHOOK_KEYS_FILE=keys\n")
    assert AddressSettings.load().webhook_keys == KEYS
    monkeypatch.setenv("WEBHOOK_KEYS_FILE", "")
    with pytest.raises(SystemExit):
        AddressSettings.load()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "WEBHOOK_KEYS_FILE cannot be used: {file} cannot be read: No such file or directory (see"),
        (b"", "WEBHOOK_KEYS_FILE cannot be used: {file} is empty (see"),
        (b" \n", "WEBHOOK_KEYS_FILE cannot be used: {file} is empty (see"),
        (b"\xff\xfe", "WEBHOOK_KEYS_FILE cannot be used: {file} is not UTF-8 (see"),
        (b"x" * 1024 * 1025, "WEBHOOK_KEYS_FILE cannot be used: {file} is larger than 1024 KiB (see"),
        (b"short", "WEBHOOK_KEYS cannot be used: key 1 has 5 characters"),
        (b"two\x00parts" * 4, "WEBHOOK_KEYS cannot be used: it holds a control character"),
    ],
)
def test_an_unusable_file_of_a_secret_is_an_error_message(
    content: bytes | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("WEBHOOK_KEYS_FILE", str(file))
    with pytest.raises(SystemExit) as end:
        AddressSettings.load()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(said.format(file=file))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "abc", "it should be a whole number"),
        ("PORT", "99999", "Input should be less than or equal to 65535"),
        ("WEBHOOK_ADDRESS_OPTIONAL", "perhaps", "it should be True or False"),
        ("MEETERGO_API_KEY_EXPIRES", "31.1.2027", "it should be a day such as 2027-01-31"),
        ("MEETERGO_API_KEY_EXPIRES", "2027-01-31T10:00", "it should be a day such as 2027-01-31"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error_that_says_what_to_write(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBHOOK_KEYS", KEYS[0])
    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        (StatusSettings if name.endswith("EXPIRES") else ReceiverSettings).load()
    assert capsys.readouterr().err == f"{name} cannot be used: {said} (see .env.example).\n"


def test_a_file_of_a_secret_that_cannot_be_read_is_an_error_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, said in {str(tmp_path): "Is a directory", "/proc/self/mem": "Input/output error"}.items():
        monkeypatch.setenv("WEBHOOK_KEYS_FILE", path)
        with pytest.raises(SystemExit):
            AddressSettings.load()
        assert capsys.readouterr().err == (
            f"WEBHOOK_KEYS_FILE cannot be used: {path} cannot be read: {said} (see .env.example).\n"
        )


def test_a_secret_and_its_file_are_not_both_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text(f"WEBHOOK_KEYS={KEYS[0]}\n")
    monkeypatch.setenv("WEBHOOK_KEYS_FILE", str(tmp_path / ".env"))
    with pytest.raises(SystemExit):
        AddressSettings.load()
    assert capsys.readouterr().err == (
        "WEBHOOK_KEYS and WEBHOOK_KEYS_FILE are both set: remove one of them (see .env.example).\n"
    )
