"""The stores and services of the dashboard's process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from flask import current_app
from redis import Redis

from dashboard.settings import DashboardSettings
from models.account import DEFAULT
from operations.dashboard_login import LoginSigner
from runtime.database import Database
from worker.services import Services, build_services

STATEMENT_TIMEOUT = timedelta(seconds=10)
POOL_SIZE = 8
EXTENSION = "meetergo-inbox"


@dataclass(frozen=True)
class Dashboard:
    """The stores, services and settings that views use.

    Attributes:
        settings: the settings of this process.
        services: the worker's services: stores, parser, hook and channels, as the CLI's `replay` uses them.
        logins: signs and verifies sessions.
    """

    settings: DashboardSettings
    services: Services
    logins: LoginSigner

    @property
    def database(self) -> Database:
        """The database; a statement that takes too long fails."""
        return self.services.database

    @property
    def redis(self) -> Redis:
        """Redis."""
        return self.services.job_queue.redis


def open_dashboard(settings: DashboardSettings) -> Dashboard:
    """Open the stores; they connect on first use."""
    database = settings.database(POOL_SIZE, STATEMENT_TIMEOUT)
    return Dashboard(settings, build_services(settings, database), LoginSigner(settings.webhook_keys))


def account_names() -> Sequence[str]:
    """Return the names of all accounts if there is more than one; else nothing, as there is nothing to tell apart."""
    others = current().services.accounts.others()
    return [DEFAULT, *others] if others else []


def current() -> Dashboard:
    """Return the dashboard of the current app."""
    return cast("Dashboard", current_app.extensions[EXTENSION])
