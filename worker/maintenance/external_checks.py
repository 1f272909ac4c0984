"""Checks that ask other servers. Each is a separate task: one that hangs does not delay the others."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from models.account import DEFAULT
from models.incident import IncidentKind
from worker.maintenance.expiry import observe_certificate, observe_key
from worker.maintenance.observation import ABSENT, Observations
from worker.maintenance.registration_check import observe_registration
from worker.services import Services
from worker.settings import ScheduleSettings

CHECK_EVERY = timedelta(minutes=10)
"""Also how long `status` may still name what an operator has repaired."""

ExternalCheck = Callable[[Services, datetime], Any]


def external_checks(
    settings: ScheduleSettings, observed: Observations
) -> Mapping[str, tuple[timedelta, ExternalCheck]]:
    """Return the checks that this installation needs, by task name. Incidents of all other checks end.

    Args:
        settings: the scheduler's settings.
        observed: receives what they find; see `Alerts`.
    """
    observed.update(dict.fromkeys(_not_checked(settings), ABSENT))
    tasks: dict[str, tuple[timedelta, ExternalCheck]] = {}
    if settings.meetergo_api_key:
        tasks["registration"] = (
            CHECK_EVERY,
            lambda services, now: observed.update(observe_registration(settings, services, now, DEFAULT)),
        )
    if settings.meetergo_api_key_expires or _has_certificate(settings):
        tasks["expiry"] = (CHECK_EVERY, lambda _services, now: observed.update(_observe_expiry(settings, now)))
    return tasks


def _not_checked(settings: ScheduleSettings) -> Iterator[IncidentKind]:
    if not settings.meetergo_api_key:
        yield from ("registration_lost", "api_key_refused")
    if not settings.meetergo_api_key_expires:
        yield "api_key_expiring"
    if not _has_certificate(settings):
        yield "certificate_expiring"


def _has_certificate(settings: ScheduleSettings) -> bool:
    return settings.public_url.startswith("https://")


def _observe_expiry(settings: ScheduleSettings, now: datetime) -> Observations:
    found: Observations = {}
    if settings.meetergo_api_key_expires:
        found["api_key_expiring"] = observe_key(settings.meetergo_api_key_expires, now)
    if _has_certificate(settings):
        certificate = observe_certificate(settings.public_url, now)
        found |= {"certificate_expiring": certificate} if certificate else {}
    return found
