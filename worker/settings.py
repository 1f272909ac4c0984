"""Settings of the workers and of the schedule: the stores, the channels, the platform's hook."""

from typing import Annotated

from pydantic import AfterValidator, Field

from models.settings import (
    CommaSeparated,
    MetricsSettings,
    RetentionSettings,
    StoreSettings,
    VaultSettings,
    WaitingSettings,
)


def _smtp_url(url: str) -> str:
    if url and not url.startswith(("smtp://", "smtps://")):
        raise ValueError("it should look like 'smtp://user:password@host:587' or 'smtps://...'")
    return url


class WorkerSettings(StoreSettings, VaultSettings, RetentionSettings, MetricsSettings):
    """What the back room reads."""

    meetergo_company_id: str = ""
    platform_hook: str = ""
    notify_default: CommaSeparated = Field(["log:"], repr=False)
    notify_signing_secret: str = Field("", repr=False)
    smtp_url: Annotated[str, AfterValidator(_smtp_url)] = Field("", repr=False)
    mail_from: str = ""


class AlertSettings(WaitingSettings):
    """Whom to tell that a person is needed."""

    alert_channels: CommaSeparated = Field([], repr=False)


class ScheduleSettings(WorkerSettings, AlertSettings):
    """What the schedule reads."""
