"""Whether meetergo accepts our key and still posts to our address."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from meetergo.api.errors import Forbidden, KeyExpired, Unauthorised
from models.endpoint import Endpoint
from runtime.signed_address import fingerprint_in, host_of
from worker.maintenance.observation import ABSENT, Details, Observation, Observations
from worker.services import Services
from worker.settings import ScheduleSettings

if TYPE_CHECKING:
    from meetergo.api.schemas import Webhook

TIMEOUT = timedelta(seconds=10)
ATTEMPTS = 2
MAX_WAIT = timedelta(minutes=1)
"""Longest wait for the rate limiter."""
SETTLING = timedelta(minutes=5)
"""How long meetergo may take to list what was just registered."""
REASONS = ("events", "elsewhere", "gone")
"""Faults of a registration. If none is intact, the first that applies to any of them is reported."""

log = structlog.get_logger()


def observe_registration(settings: ScheduleSettings, services: Services, now: datetime, account: str) -> Observations:
    """Ask meetergo for its webhooks, and compare them with those that `webhook register` has registered.

    Args:
        settings: the account's settings, with its key.
        services: the stores.
        now: the time, UTC.
        account: the account.

    Raises:
        ApiError: meetergo does not answer, or rate-limits us: nothing is known.
        SQLAlchemyError: the database is down.
    """
    with services.database.read_only() as session:
        endpoints = Endpoint.all(session, account)
    try:
        with settings.api_client(settings.redis(), max_wait=MAX_WAIT, timeout=TIMEOUT, attempts=ATTEMPTS) as client:
            webhooks = settings.as_admin(client).webhooks.list()
    except Unauthorised as error:
        reason = "expired" if isinstance(error, KeyExpired) else "unknown"
        return {"api_key_refused": Observation(True, {"reason": reason})}
    except Forbidden as error:  # for example a personal token without the capability "Account"
        log.warning("registration.unknown", error=str(error))
        return {"api_key_refused": ABSENT}
    if any(now - endpoint.registered_at < SETTLING for endpoint in endpoints):
        return {"api_key_refused": ABSENT}
    return {"api_key_refused": ABSENT, "registration_lost": compare(endpoints, webhooks, settings.public_url)}


def compare(endpoints: Sequence[Endpoint], webhooks: "Sequence[Webhook]", public_url: str) -> Observation:
    """Compare what was registered with what meetergo has. One intact registration is enough.

    Args:
        endpoints: what was registered; nothing is lost if there is none.
        webhooks: what meetergo has.
        public_url: where the receiver is; empty if that is unknown.
    """
    by_id = {webhook.id: webhook for webhook in webhooks}
    faults = [_fault(endpoint, by_id.get(endpoint.provider_id), public_url) for endpoint in endpoints]
    found = [fault for fault in faults if fault]
    if not found or len(found) < len(faults):
        return ABSENT
    return Observation(True, min(found, key=lambda fault: REASONS.index(fault["reason"])))


def _fault(endpoint: Endpoint, webhook: "Webhook | None", public_url: str) -> Details | None:
    if webhook is None:
        return {"reason": "gone"}
    host, ours = (host_of(url).casefold().removesuffix(":443") for url in (webhook.endpoint, public_url))
    if (public_url and host != ours) or fingerprint_in(webhook.endpoint) != endpoint.fingerprint:
        return {"reason": "elsewhere", "host": host}
    missing = sorted({str(event) for event in endpoint.event_types} - set(webhook.event_types))
    return {"reason": "events", "events": missing} if missing and webhook.event_types else None
