"""The slow checks of the scheduler. Each is a task of its own: meetergo, or a network that hangs, delays no other."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from worker.maintenance.arrivals import ArrivalWatch
from worker.maintenance.expiry import observe_certificate, observe_key
from worker.maintenance.observation import Observations
from worker.maintenance.registration_check import observe_registration
from worker.services import Services
from worker.settings import ScheduleSettings

ARRIVALS_EVERY = timedelta(minutes=10)
ASK_EVERY = timedelta(hours=1)
"""How often meetergo and the receiver's address are asked."""

WatchTask = Callable[[Services, datetime], Any]


def watch_tasks(settings: ScheduleSettings, observed: Observations) -> Mapping[str, tuple[timedelta, WatchTask]]:
    """Return the tasks that this installation needs.

    Args:
        settings: the scheduler's settings.
        observed: receives what they find; `Alerts` looks at it.
    """
    arrivals = ArrivalWatch()
    tasks: dict[str, tuple[timedelta, WatchTask]] = {
        "arrivals": (ARRIVALS_EVERY, lambda services, now: observed.update(arrivals.observe(services, now)))
    }
    if settings.meetergo_api_key:
        tasks["registration"] = (
            ASK_EVERY,
            lambda services, _now: observed.update(observe_registration(settings, services)),
        )
    if settings.meetergo_api_key_expires or settings.public_url.startswith("https://"):
        tasks["expiry"] = (ASK_EVERY, lambda _services, now: observed.update(_observe_ends(settings, now)))
    return tasks


def _observe_ends(settings: ScheduleSettings, now: datetime) -> Observations:
    found: Observations = {}
    if settings.meetergo_api_key_expires:
        found["api_key_expiring"] = observe_key(settings.meetergo_api_key_expires, now)
    if settings.public_url.startswith("https://"):
        certificate = observe_certificate(settings.public_url, now)
        found |= {"certificate_expiring": certificate} if certificate else {}
    return found
