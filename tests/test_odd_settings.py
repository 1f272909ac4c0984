"""With any value of a setting, the process works or ends with a message that names the setting."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard.settings import DashboardSettings
from operations.settings import CalendarSettings, ConsoleSettings, RegistrationSettings
from operations.status import StatusSettings
from read_api.settings import ReadApiSettings
from receiver.settings import ReceiverSettings
from runtime.database import Database
from runtime.redis.client import connect
from runtime.settings import SETTING_NAMES, EncryptedStoreSettings, RetentionSettings, Settings, check_port_free
from tests.test_deployment import SETTING_ENV_NAMES
from worker.maintenance.alerts import open_alerts
from worker.services import build_services
from worker.settings import ReconcileSettings, ScheduleSettings, WorkerSettings
from worker.start import exit_on_bad_setting

KEY = "0123456789" * 4
PERSONAL = "rgo-" + "x" * 40
DEFAULTS = {
    "WEBHOOK_KEYS": KEY,
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PORT": "0",
    "DASHBOARD_PORT": "0",
    "API_PORT": "0",
}

ODD_VALUES = [
    *(
        "'",
        '""',
        ",",
        ",,",
        ":",
        "://",
        "//",
        "/",
        "?",
        "#",
        "%",
        "%zz",
        "@",
        "{0}",
        "${HOME}",
        "None",
        "null",
        "maybe",
    ),
    *("0", "-1", "1e3", "99999999999999999999", "1.5", "inf", "nan", "True", "65536", "2027-01-31", "31.01.2027"),
    *(
        "a b",
        "a\nb",
        "a\r\n",
        "a\tb",
        "a\x07b",
        "\x1b[31m",
        "\udcff",
        "ü",
        "日本語",
        "\u00a0",
        KEY,
        "A,B",
        "x" * 10_000,
    ),
    *("http://", "http://[::1", "http://h:99999", "http://h:x", "https://u:p@ss@h:1/x?y#z", "ftp://h", "log:,mailt:"),
]
HOSTS = ["localhost", "x86_64-conda-linux-gnu", "::1", "[::1]", "256.1.1.1", "a" * 70, "..", "*", "0.0.0.0:8000"]
REDIS = [
    *("redis://h:6379/abc", "redis://127.0.0.1:6379/0?ssl_cert_reqs=none", "rediss://h?ssl_cert_reqs=none"),
    *("redis://h?db=x", "redis://h?unknown=1", "redis://h?decode_responses=True", "unix://", "unix:///nowhere"),
    *("rediss://h:6379/0?ssl_cert_reqs=maybe", "redis://[::1]:6379/0", "redis://u:p#w@h", "redis://h:6379/0\n"),
    *("rediss://h?ssl_check_hostname=False&ssl_min_version=3", "redis://h?ssl_ca_certs=/x", "redis://h?protocol=x"),
]
DATABASES = [
    *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:////proc/nowhere/x.db", "sqlite:///data", "sqlite://h/x.db"),
    *("sqlite:///x.db?mode=ro", "sqlite:///x.db\n", "sqlite:///" + "d/" * 5000 + "x.db", "mysql://h/d", "postgres://"),
    *("postgresql://u:p@h:x/d", "postgresql://u:p@h:99999/d", "postgresql://u:p@ss@h/d", "postgresql://u@/d?host=a&host=b"),
    *("postgresql://u:p%40ss%2F@[::1]:5432/d\r\n", *(f"postgresql://u@h/d?{option}" for option in (
        "prepare_threshold=0", "prepare_threshold=x", "prepare_threshold=none", "connect_timeout=x",
        "unknown=1", "sslmode=maybe", "sslmode=require", "options=-csearch_path%3Dx", "autocommit=1",
        "target_session_attrs=read-write", "target_session_attrs=x", "port=1&port=2", "user=a&user=b",
    ))),
]  # fmt: skip
ODD_VALUES_BY_NAME = {
    "HOST": HOSTS,
    "METRICS_HOST": HOSTS,
    "DASHBOARD_HOST": HOSTS,
    "API_HOST": HOSTS,
    "DASHBOARD_URL": ["https://inbox.example/", "https://h/?x=1", "ftp://h", "http://h:x"],
    "DASHBOARD_PROXIES": ["10.0.0.5", "10.0.0.5/24", "::1,10.0.0.0/8", "localhost", "10.0.0.0/99"],
    "REDIS_URL": REDIS,
    "DATABASE_URL": DATABASES,
    "SMTP_URL": ["smtp://", "smtp://h:x", "smtps://u:p#w@h", "smtp://u:p/w@h:587", "smtp://[::1]:25", "smtp://u:p?@h"],
    "MAIL_LOGO": ["/", "data", "/dev/zero", "/dev/null", "/proc/self/environ"],
    "MAIL_TEMPLATES": ["/", ".", "data", "/dev/null", "/proc", "/proc/self"],
    "MAIL_COLOR": ["#", "#fff", "fff", "#ggg", "#1a5fb4ff"],
    "PLATFORM_HOOK": ["os:system", "nowhere:at_all", "console:", ":x", "a:b:c", "..:x", "json:dumps", "json:__name__"],
    "NOTIFY_DEFAULT": ["mailto:", "log:", "slack://x", "json://[", "https://h", "mailto:a@b.example", "log:#x"],
    "ALERT_CHANNELS": ["mailto://", "slack://x", "json://[", "ntfy://", "jsons://h"],
    "WEBHOOK_SIGNATURE_SCHEME": ["standard", "hex", "Standard"],
    "WEBHOOK_SIGNATURE_HEADER": ["Header Name", "X-Ok"],
    "MEETERGO_API_KEY": [PERSONAL, PERSONAL + "\n", PERSONAL + "ü", "ak_live:", "ak_live:x:y"],
    "MEETERGO_API_URL": [
        "https://xn--",
        "https://xn--a",
        "https://½",
        "https://☃.example",
        "https://bücher.example",
        "http://127.0.0.1:x",
        "https://h:99999",
        "http://example.com",
        "https://[",
        "https://h/?x=1",
    ],
    "HTTPS_PROXY": [
        "²",
        "½",
        "http://xn--",
        "http://☃.example:1",
        "proxy.example:3128",
        "ftp://h",
        "http://h:x",
        "socks5://h:1",
        "http://[::1",
    ],
    "NO_PROXY": ["[::1]", "localhost,127.0.0.1,::1", "fe80::/10", "10.0.0.0/8,*.x", "*", "[::", ","],
    "SSL_CERT_FILE": ["/nowhere", "/", "/dev/null", "/etc/passwd"],
}


def _receiver() -> None:
    settings = ReceiverSettings.load()
    check_port_free("PORT", settings.host, settings.port)
    settings.verifier()
    settings.cipher()
    Database(settings.database_url).close()
    connect(settings.redis_url).close()


def _worker() -> None:
    settings = WorkerSettings.load()
    exit_on_bad_setting(lambda: build_services(settings)).database.close()


def _schedule() -> None:
    settings = ScheduleSettings.load()
    exit_on_bad_setting(lambda: build_services(settings)).database.close()
    exit_on_bad_setting(lambda: open_alerts(settings))


def _console() -> None:
    for kind in (RetentionSettings, EncryptedStoreSettings, StatusSettings, ReconcileSettings):
        kind.load()
    _ = ConsoleSettings.load().address, CalendarSettings.load().calendar_base_url


def _registration() -> None:
    settings = RegistrationSettings.load()
    exit_on_bad_setting(lambda: settings.api_client(None).close())


def _dashboard() -> None:
    settings = DashboardSettings.load()
    check_port_free("DASHBOARD_PORT", settings.dashboard_host, settings.dashboard_port)
    _ = settings.trusted_networks, settings.dashboard_base_url


def _read_api() -> None:
    settings = ReadApiSettings.load()
    check_port_free("API_PORT", settings.api_host, settings.api_port)


SETTINGS_OF_PROCESS: dict[Callable[[], None], list[type[Settings]]] = {
    _receiver: [ReceiverSettings],
    _worker: [WorkerSettings],
    _schedule: [ScheduleSettings],
    _console: [
        *(RetentionSettings, EncryptedStoreSettings, StatusSettings, ReconcileSettings),
        *(ConsoleSettings, CalendarSettings),
    ],
    _registration: [RegistrationSettings],
}
PAIRS = [
    (name, process)
    for process, settings in SETTINGS_OF_PROCESS.items()
    for name in sorted({each.upper() for kind in settings for each in kind.model_fields})
    if process is not _schedule or name.lower() not in WorkerSettings.model_fields  # it reads those as the worker does
] + [(name, process) for name in ("HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE") for process in (_registration, _schedule)]
PAIRS += [(name.upper(), _dashboard) for name in DashboardSettings.model_fields if name.startswith("dashboard_")]
PAIRS += [("API_HOST", _read_api), ("API_PORT", _read_api)]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])  # PLATFORM_PATH is put there
    (tmp_path / "data").mkdir()
    for name in SETTING_ENV_NAMES:
        monkeypatch.delenv(name, raising=False)


def test_every_setting_is_covered() -> None:
    assert SETTING_ENV_NAMES <= SETTING_NAMES


@pytest.mark.parametrize(("name", "process"), PAIRS)
def test_an_odd_value_works_or_gives_an_error_message(
    name: str, process: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = DEFAULTS | ({"MEETERGO_API_KEY": PERSONAL} if process is _registration else {})
    for value in [*ODD_VALUES, *ODD_VALUES_BY_NAME.get(name, [])]:
        for each, variable_value in {**defaults, name: value}.items():
            monkeypatch.setenv(each, variable_value)
        end: SystemExit | None = None
        try:
            process()
        except SystemExit as error:
            end = error
        except Exception as error:
            pytest.fail(f"{name}={value[:60]!r} ends in {type(error).__name__}: {error}")
        stderr = capsys.readouterr().err.strip()
        if end:
            assert (end.code, name in stderr, len(stderr) < 500) == (2, True, True), f"{value[:60]!r}: {stderr}"


def test_an_address_of_the_page_with_a_path_is_refused_as_no_link_has_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**DEFAULTS, "DASHBOARD_URL": "https://example.com/"}.items():
        monkeypatch.setenv(name, value)
    DashboardSettings.load()
    monkeypatch.setenv("DASHBOARD_URL", "https://example.com/inbox/")
    with pytest.raises(SystemExit):
        DashboardSettings.load()
    message = capsys.readouterr().err
    assert message.startswith("DASHBOARD_URL ")
    assert "a host of its own" in message
