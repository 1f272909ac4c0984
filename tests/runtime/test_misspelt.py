"""A misspelt setting in `.env` is noticed, and a platform's own variables are not taken for one."""

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.process.misspelt import misspelt_settings, warn_of_misspelt_settings

LARAVEL = """
APP_NAME APP_ENV APP_KEY APP_DEBUG APP_URL APP_PORT LOG_CHANNEL LOG_LEVEL DB_CONNECTION DB_HOST DB_PORT DB_DATABASE
DB_USERNAME DB_PASSWORD CACHE_DRIVER QUEUE_CONNECTION SESSION_DRIVER REDIS_HOST REDIS_PORT REDIS_CLIENT MAIL_MAILER
MAIL_HOST MAIL_PORT MAIL_USERNAME MAIL_ENCRYPTION MAIL_FROM_ADDRESS MAIL_FROM_NAME AWS_BUCKET PUSHER_HOST
VITE_APP_NAME
"""
OTHERS = """
SECRET_KEY ALLOWED_HOSTS DJANGO_SETTINGS_MODULE TEST_DATABASE_URL DATABASE_HOST DATABASE_USER DATABASE_PASSWORD
REDIS_TLS_URL SMTP_HOST SMTP_USER SMTP_PASS BASE_URL API_KEY API_URL HOSTNAME WEB_CONCURRENCY RAILS_ENV
SECRET_KEY_BASE NEXT_PUBLIC_URL NODE_ENV POSTGRES_USER POSTGRES_DB POSTGRES_HOST POSTGRES_PORT STRIPE_WEBHOOK_SECRET
WEBHOOK_URL SENTRY_DSN PLATFORM_URL METRICS_PATH HTTPS_PROXY NO_PROXY SSL_CERT_FILE PGHOST PYTHONPATH
OTEL_EXPORTER_OTLP_ENDPOINT LOG_FORMAT
"""


@pytest.fixture(autouse=True)
def env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL", "WEBHOOK_KEYS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NOTIFY_DEFUALT", "NOTIFY_DEFAULT"),
        ("notify_defualt", "NOTIFY_DEFAULT"),
        ("NOTIFY-DEFAULT", "NOTIFY_DEFAULT"),
        ("export REDIS_ULR", "REDIS_URL"),
        ("WEBHOOK_KEY", "WEBHOOK_KEYS"),
        ("WEBHOOK_KEY_FILE", "WEBHOOK_KEYS_FILE"),
        ("METERGO_API_KEY", "MEETERGO_API_KEY"),
        ("MAIL_COLOUR", "MAIL_COLOR"),
        ("PROT", "PORT"),
    ],
)
def test_a_misspelt_setting_is_found_unless_the_right_one_is_set(env_file: Path, name: str, meant: str) -> None:
    env_file.write_text(f"{name}=x\n")
    assert misspelt_settings() == {name.removeprefix("export "): meant}
    env_file.write_text(f"{name}=x\n{meant}=x\n")
    assert misspelt_settings() == {}


def test_the_right_one_may_be_in_the_environment_or_in_a_file(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("DATABASE_URI=postgresql://platform\n")
    assert misspelt_settings() == {"DATABASE_URI": "DATABASE_URL"}
    monkeypatch.setenv("DATABASE_URL_FILE", "/run/secrets/database")
    assert misspelt_settings() == {}


def test_variables_of_the_platform_and_of_the_environment_are_none(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text("".join(f"{name}=x\n" for name in f"{LARAVEL} {OTHERS}".split()))
    monkeypatch.setenv("NOTIFY_DEFUALT", "log:")
    assert misspelt_settings() == {}


def test_a_file_that_is_missing_or_cannot_be_read_has_none(env_file: Path) -> None:
    assert misspelt_settings() == {}
    env_file.write_text("NOTIFY_DEFUALT=x\nnot a line\n")
    assert misspelt_settings() == {}


def test_the_warning_names_no_value(env_file: Path) -> None:
    env_file.write_text("SMTP_ULR=smtp://user:s3cret@host\n")
    with capture_logs() as logs:
        warn_of_misspelt_settings()
    assert logs == [{"event": "setting.unknown", "name": "SMTP_ULR", "meant": "SMTP_URL", "log_level": "warning"}]
    assert "s3cret" not in json.dumps(logs)
