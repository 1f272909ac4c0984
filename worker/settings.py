"""Settings of the workers and the scheduler: stores, channels, the platform's hook, the provider's API."""

import os
import re
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from runtime.api_settings import ApiSettings
from runtime.settings import (
    Account,
    CommaSeparated,
    EncryptionSettings,
    MetricsSettings,
    PublicUrl,
    RetentionSettings,
    Settings,
    StoreSettings,
    WaitingSettings,
    one_line,
    split_url,
)

OneLine = Annotated[str, AfterValidator(one_line)]
ConfirmationMode = Literal["cancels", "all"]


def _smtp_url(url: str) -> str:
    if not url:
        return url
    parts = split_url(url)
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or rest:
        raise ValueError(
            "it should look like 'smtp://user:password@host:587' or 'smtps://...', with '%40' for '@' in user or "
            "password, '%2F' for '/', '%23' for '#' and '%3F' for '?'"
        )
    return url


def _color(text: str) -> str:
    found = re.fullmatch(r"#?([0-9a-f]{6}|[0-9a-f]{3})", text, re.IGNORECASE)
    if not found:
        raise ValueError("it should be a colour such as '#1a5fb4'")
    digits = found[1].lower()
    return f"#{digits if len(digits) == 6 else ''.join(digit * 2 for digit in digits)}"


def _validate_mode(mode: object) -> object:
    if isinstance(mode, str) and mode.strip().lower() not in ("", "cancels", "all"):
        raise ValueError("it is 'cancels' or 'all', or empty for none")
    return mode.strip().lower() if isinstance(mode, str) else mode


class MailSettings(Settings):
    """Settings of mails: how they are sent, and how they look.

    `mail_name` is the platform's, by default that of `mail_from`; `mail_color` is `#rrggbb`; `mail_logo` is an image
    file; `mail_templates` is a folder whose templates replace the built-in ones.
    """

    smtp_url: Annotated[str, AfterValidator(_smtp_url)] = Field("", repr=False)
    mail_from: OneLine = ""
    mail_name: OneLine = ""
    mail_color: Annotated[str, AfterValidator(_color)] = "#1a5fb4"
    mail_logo: OneLine = ""
    mail_templates: OneLine = ""
    mail_reply_to_guest: bool = True


class WorkerSettings(StoreSettings, EncryptionSettings, RetentionSettings, MetricsSettings, MailSettings):
    """Settings of the workers."""

    meetergo_company_id: OneLine = ""
    webhook_account: Account = "default"
    platform_hook: OneLine = ""
    platform_path: OneLine = ""
    database_notify: bool = False
    notify_default: CommaSeparated = Field(["log:"], repr=False)
    notify_signing_secret: CommaSeparated = Field([], repr=False)
    confirm: Annotated[Literal["", "cancels", "all"], BeforeValidator(_validate_mode)] = ""
    confirm_cancels: bool = False

    @model_validator(mode="after")
    def _require_key_for_confirmation(self) -> Self:
        if self.confirmation_mode and not ApiSettings.load().meetergo_api_key:
            setting = "CONFIRM" if self.confirm else "CONFIRM_CANCELS"
            raise ValueError(f"MEETERGO_API_KEY is not set, and {setting} asks for it")
        return self

    @model_validator(mode="after")
    def _require_postgresql_for_notify(self) -> Self:
        if self.database_notify and self.database_file:
            raise ValueError(
                "DATABASE_NOTIFY needs PostgreSQL, and DATABASE_URL names an SQLite file: take DATABASE_NOTIFY out"
            )
        return self

    @property
    def platform_folders(self) -> Sequence[Path]:
        """The folders of PLATFORM_PATH, which are separated as in PATH."""
        return [Path(each).expanduser() for each in self.platform_path.split(os.pathsep) if each]

    @property
    def confirmation_mode(self) -> ConfirmationMode | None:
        """Which webhooks to verify; None for none. CONFIRM_CANCELS is the former name of CONFIRM=cancels."""
        return self.confirm or ("cancels" if self.confirm_cancels else None)


class AlertSettings(WaitingSettings):
    """Settings of the alerts to operators."""

    alert_channels: CommaSeparated = Field([], repr=False)


class ComparisonSettings(ApiSettings):
    """Settings of the comparison with the provider; `reconcile_days` is how far ahead to look for changes."""

    reconcile_days: int = Field(90, ge=1, le=3650)

    @property
    def horizon(self) -> timedelta:
        """The horizon as a duration."""
        return timedelta(days=self.reconcile_days)


class ReconcileSettings(StoreSettings, EncryptionSettings, ComparisonSettings):
    """Settings of a reconciliation started by hand."""


class ScheduleSettings(WorkerSettings, AlertSettings, ComparisonSettings):
    """Settings of the scheduler. It reports when the key or the certificate of `public_url` expires."""

    public_url: PublicUrl = ""
    meetergo_api_key_expires: date | None = None
