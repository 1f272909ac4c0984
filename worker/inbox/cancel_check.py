"""CancelChecks: verify a webhook against meetergo's API before it is applied, with the key of its account."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeGuard

from redis import Redis

from meetergo.api.errors import ApiError, BadResponse, Forbidden, RateLimited, Unavailable
from meetergo.api.request import IDENTIFIER
from meetergo.events import BookingEvent, Event, UnreadableBody
from models.account import DEFAULT, UnusableAccount, meetergo_id
from models.account_cache import Accounts
from models.delivery import Source
from runtime.api_settings import ApiSettings
from runtime.errors import Failure, Permanent, Transient
from runtime.outage import Cooldown
from worker.accounts import settings_of
from worker.reconcile.provider_appointments import HostAppointments, admin_id
from worker.reconcile.synthetic_delivery import SyntheticDelivery
from worker.settings import ConfirmationMode

if TYPE_CHECKING:
    from meetergo.api import Meetergo

TIMEOUT = timedelta(seconds=5)
"""Limit for a response. The check never waits for the rate limiter: other deliveries wait, and this one is retried."""
COOLDOWN = timedelta(seconds=30)
"""Pause after a timeout of meetergo, so that not every cancel holds up the worker."""
MAX_HOSTS = 3
"""Maximum number of hosts to impersonate when looking for one booking."""
NO_ADMIN_KNOWN = "no user who sees all bookings is known: set MEETERGO_API_USER to an admin of the company"
NOT_CANCELLED = "meetergo says it is not cancelled"
DIFFERENT_ANSWER = "meetergo disagrees with the webhook: its answer is applied"
NO_SUCH_BOOKING = "meetergo does not know this booking: the webhook is old, or forged by a sender who knows the address"
PROPAGATION_DELAY = timedelta(minutes=2)
"""A webhook can arrive before every server of meetergo knows the booking."""


@dataclass(frozen=True)
class CheckResult:
    """The event to process instead of the webhook's, and a note for the delivery."""

    event: Event | Failure
    note: str | None = None


@dataclass
class CancelCheck:
    """Verifies webhooks by reading the appointment from meetergo.

    Attributes:
        client: meetergo's API client.
        user_id: the user, an admin, that a Platform key impersonates first; empty for the company's owner.
        account: the account whose webhooks it verifies.
    """

    client: "Meetergo"
    user_id: str
    account: str
    _cooldown: Cooldown = field(default_factory=lambda: Cooldown(COOLDOWN))
    _admin_id: str | None = None

    def verify(self, event: BookingEvent, host_ids: Sequence[str], now: datetime, received_at: datetime) -> CheckResult:
        """Return what meetergo says about a booking. Call it without holding a lock.

        Args:
            event: the webhook's event.
            host_ids: the booking's known hosts.
            now: the time of the request, UTC.
            received_at: when the webhook arrived, UTC.
        """
        what = "cancel" if _is_cancel(event) else "booking"
        if time.monotonic() < self._cooldown.until:
            return CheckResult(
                Transient(f"the {what} is not confirmed yet: meetergo did not answer a moment ago", COOLDOWN)
            )
        booking_id = meetergo_id(self.account, event.booking_id)
        try:
            appointments = self.appointments_for(host_ids or event.facts.get("host_ids") or ())
            appointment = appointments.get(booking_id)
            moved_from = event.moved_from if appointment and self._has_ended(appointments, event.moved_from) else None
        except ApiError as error:
            if _is_unresponsive(error):
                self._cooldown.start()
            return CheckResult(Transient(f"the {what} is not confirmed yet: {error}", error.retry_after))
        if appointment:
            result = _check_result(SyntheticDelivery(appointment, now, self.account), event)
            return _with_moved_from(result, moved_from) if moved_from else result
        if not appointments.sees_every_booking:
            return CheckResult(Transient(NO_ADMIN_KNOWN))
        return CheckResult(event if _is_cancel(event) else _not_found(now - received_at))

    def _has_ended(self, appointments: HostAppointments, booking_key: str | None) -> bool:
        """Whether meetergo agrees that a booking, which another one replaced, is cancelled or not there any more."""
        if not booking_key:
            return False
        booking_id = meetergo_id(self.account, booking_key)
        try:
            appointment = appointments.get(booking_id)
        except Forbidden:
            return False
        return appointment.is_cancelled if appointment else appointments.sees_every_booking

    def appointments_for(self, host_ids: Sequence[str]) -> HostAppointments:
        """Return the appointments as read by an admin, who sees all, and then by the hosts of one booking.

        Raises:
            ApiError: the user to impersonate is not known yet.
        """
        if not self.client.can_impersonate:
            return HostAppointments((self.client,), sees_every_booking=True)
        named = [host_id for host_id in map(str, host_ids) if IDENTIFIER.fullmatch(host_id)]
        hosts = tuple(self.client.as_user(host_id) for host_id in named[:MAX_HOSTS])
        if self._admin_id is None:  # not remembered: meetergo may tell it the next time
            self._admin_id = admin_id(self.client, self.user_id)
        admins = (self.client.as_user(self._admin_id),) if self._admin_id else ()
        if not (admins or hosts):
            raise ApiError(NO_ADMIN_KNOWN)
        return HostAppointments((*admins, *hosts), sees_every_booking=bool(admins))


@dataclass
class CancelChecks:
    """Verifies the webhooks of all accounts, each with its own API key.

    Attributes:
        mode: which webhooks are verified: cancels, or all that concern bookings.
        accounts: the accounts.
        redis: shares the API's rate limit with other processes.
        settings: those of the account `default`, with its API key.
    """

    mode: ConfirmationMode
    accounts: Accounts
    redis: Redis
    settings: ApiSettings = field(repr=False)
    _checks: dict[str, tuple[ApiSettings, CancelCheck]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, redis: Redis, mode: ConfirmationMode, accounts: Accounts) -> "CancelChecks":
        """Open the checks, and that of the account `default` at once, so that a bad setting stops the process."""
        checks = cls(mode, accounts, redis, ApiSettings.load())
        checks._check_of(DEFAULT)
        return checks

    def needs_check(self, event: Event | Failure, source: Source) -> TypeGuard[BookingEvent]:
        """Whether an event has to be verified before it is applied. Events from reconcile come from meetergo."""
        if not isinstance(event, BookingEvent) or source != "webhook":
            return False
        return self.mode == "all" or _is_cancel(event) or event.moved_from is not None  # this also ends a booking

    def verify(
        self, account: str, event: BookingEvent, host_ids: Sequence[str], now: datetime, received_at: datetime
    ) -> CheckResult:
        """Return what meetergo says about a booking of an account, asked with its key; see `CancelCheck.verify`."""
        try:
            check = self._check_of(account)
        except UnusableAccount as error:
            return CheckResult(Transient(f"the webhook is not confirmed yet: {error}"))
        return check.verify(event, host_ids, now, received_at)

    def _check_of(self, account: str) -> CancelCheck:
        """Return the check of an account; another one once its key has changed.

        Raises:
            UnusableAccount: it has no key, or one that cannot be used.
        """
        config = self.accounts.get(account)
        settings = settings_of(self.settings, config) if config else None
        if settings is None or not settings.meetergo_api_key:
            raise UnusableAccount(f"the account {account} has no API key")
        known = self._checks.get(account)
        if known is None or known[0] != settings:
            client = settings.api_client(self.redis, max_wait=timedelta(0), timeout=TIMEOUT, attempts=1)
            known = self._checks[account] = settings, CancelCheck(client, settings.meetergo_api_user, account)
        return known[1]


def _is_cancel(event: BookingEvent) -> bool:
    return event.facts.get("status") == "cancelled"


def _check_result(delivery: SyntheticDelivery, webhook_event: BookingEvent) -> CheckResult:
    appointment = delivery.appointment
    try:
        event = replace(delivery.event, type=webhook_event.type)
    except UnreadableBody as error:
        return CheckResult(Transient(f"meetergo's answer cannot be read: {error}"))
    if not _is_cancel(webhook_event):
        return CheckResult(event, DIFFERENT_ANSWER if _contradicts(event, webhook_event) else None)
    if appointment.is_cancelled:
        return CheckResult(event)
    if appointment.cancelled_flag is None:
        return CheckResult(
            Transient("the cancel is not confirmed yet: meetergo's answer does not say whether it is true")
        )
    return CheckResult(event, NOT_CANCELLED)


def _with_moved_from(result: CheckResult, moved_from: str) -> CheckResult:
    if not isinstance(result.event, BookingEvent):
        return result
    return replace(result, event=replace(result.event, moved_from=moved_from))


def _contradicts(event: BookingEvent, webhook_event: BookingEvent) -> bool:
    """Whether meetergo contradicts the webhook, as it does for a genuine one if the booking has changed since."""
    return any(
        name in event.facts and event.facts[name] != webhook_event.facts.get(name) for name in webhook_event.facts
    )


def _not_found(age: timedelta) -> Failure:
    if age < PROPAGATION_DELAY:
        return Transient("the booking is not confirmed yet: meetergo does not know it yet")
    return Permanent(NO_SUCH_BOOKING)


def _is_unresponsive(error: ApiError) -> bool:
    """Whether other requests would also time out. Rate limiting and unreadable answers return at once."""
    return isinstance(error, Unavailable) and not isinstance(error, RateLimited | BadResponse)
