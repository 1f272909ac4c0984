"""The scheduled task of the accounts other than `default`: ask meetergo about each, and reconcile it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select

from meetergo.api.errors import ApiError
from models.account import DEFAULT, AccountConfig, UnusableAccount
from models.incident import IncidentKind
from models.reconciliation import Reconciliation
from runtime.process.stop_signal import StopEvent
from worker.accounts import settings_of
from worker.maintenance.expiry import observe_key
from worker.maintenance.observation import ABSENT, AccountObservations, Observation, Observations
from worker.maintenance.registration_check import observe_registration
from worker.reconcile.runner import reconcile_on_schedule
from worker.services import Services
from worker.settings import ScheduleSettings

AT_ONCE = 4
"""Accounts handled at the same time: each waits for its own rate limit, and a slow one holds up few others."""

OBSERVED: tuple[IncidentKind, ...] = (
    "api_key_expiring",
    "api_key_refused",
    "registration_lost",
    "reconcile_stopped",
    "hosts_unmapped",
    "webhooks_missed",
    "webhooks_silent",
)
"""What is observed of an active account. All of it ends with the account, even if an earlier process observed it."""

log = structlog.get_logger()


@dataclass(frozen=True)
class AccountRound:
    """One round over the accounts.

    Attributes:
        settings: the scheduler's settings.
        observed: receives what is found; see `Alerts`.
        services: the stores, and the accounts.
        now: time of the start, UTC.
        max_duration: limit for each run of reconcile.
        stop: set when the process is asked to stop.
    """

    settings: ScheduleSettings
    observed: AccountObservations
    services: Services
    now: datetime
    max_duration: timedelta
    stop: StopEvent

    def run(self) -> None:
        """Check and reconcile each account, least recently reconciled first.

        Raises:
            SQLAlchemyError: the database is down.
        """
        others = [account for account in self.services.accounts.all() if not account.is_default]
        if not others:
            return
        with self.services.database.read_only() as session:
            started = select(Reconciliation.account, func.max(Reconciliation.started_at))
            rows = session.execute(started.where(Reconciliation.account != DEFAULT).group_by(Reconciliation.account))
            last = dict(rows.all())
        others.sort(key=lambda account: (account.name in last, last.get(account.name), account.name))
        with ThreadPoolExecutor(AT_ONCE, "account") as pool:
            list(pool.map(self._handle, others))

    def _handle(self, account: AccountConfig) -> None:
        """Handle one account. It never raises, so that one that fails does not stop the others."""
        if self.stop.is_set():
            return
        found = self.observed.setdefault(account.name, {})
        if not account.is_active:
            found.update(dict.fromkeys(OBSERVED, ABSENT))
            return
        try:
            self._observe(account, found)
        except Exception as error:
            log.warning("account.failed", account=account.name, error=type(error).__name__)

    def _observe(self, account: AccountConfig, found: Observations) -> None:
        """Observe an account's key and registration, and reconcile it, unless its key is refused."""
        expires = account.api_key_expires
        found["api_key_expiring"] = observe_key(expires, self.now) if expires else ABSENT
        try:
            own = settings_of(self.settings, account)
        except UnusableAccount as error:
            found["api_key_refused"] = Observation(True, {"reason": "unreadable", "why": str(error)})
            return
        if not own.meetergo_api_key:
            found.update({"api_key_refused": ABSENT, "registration_lost": ABSENT, "reconcile_stopped": ABSENT})
            return
        try:
            found.update(observe_registration(own, self.services, self.now, account.name))
        except ApiError as error:
            log.warning("registration.unknown", account=account.name, error=str(error))
        if not found.get("api_key_refused", ABSENT).holds:  # else reconcile could only say the same
            self._reconcile(own, account.name, found)

    def _reconcile(self, own: ScheduleSettings, account: str, found: Observations) -> None:
        report = reconcile_on_schedule(
            own, self.services, self.now, max_duration=self.max_duration, stop=self.stop, account=account
        )
        if report is not None:
            error = report.error_summary
            found["reconcile_stopped"] = Observation(True, {"error": error}) if error else ABSENT
