"""Observations: what the slow checks found last, and the sentence that names the cause of an incident."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.incident import IncidentKind

Details = Mapping[str, Any]


@dataclass(frozen=True)
class Observation:
    """The result of one check. Until the next one it counts as the present state.

    Attributes:
        holds: whether the condition of an incident holds.
        details: what names the cause: numbers, times, ids and hosts, as JSON; see `Incident`.
    """

    holds: bool
    details: Details | None = None


Observations = dict[IncidentKind, Observation]
AccountObservations = dict[str, Observations]
"""Name of an account other than `default` -> what was found there."""
ABSENT = Observation(holds=False)
ACCOUNT = "account"
"""Key of the details that names an account other than `default`."""

LEVELS = (14, 7, 3, 1)
"""Days before an expiry at which it is reported, once at each."""


def level_of(days_left: int, levels: tuple[int, ...] = LEVELS) -> int | None:
    """Return the level of an expiry in N days: 0 if it has passed, None if it is far away."""
    if days_left < 0:
        return 0
    return min((level for level in levels if days_left <= level), default=None)


def cause(kind: IncidentKind, details: Details | None) -> str:
    """Name the cause of an incident in a sentence without a capital and full stop; empty if there are no details.

    Details with an `account` are about that one, any others about `default`.
    """
    if not details or kind not in CAUSES:
        return ""
    sentence = CAUSES[kind](details)
    return f"account {details[ACCOUNT]}: {sentence}" if ACCOUNT in details else sentence


def _silent(details: Details) -> str:
    sentence = f"no webhook has arrived since {_time(details['since'])}, which is unusual"
    return f"{sentence}, and reconcile finds none missing" if details["confirmed"] else sentence


def _missed(details: Details) -> str:
    return f"{_count(details['number'], 'booking')} known only from reconcile, not from a webhook"


def _lost(details: Details) -> str:
    if details["reason"] == "elsewhere":
        return f"the webhook at meetergo posts to another address, at {details['host']}"
    if details["reason"] == "events":
        return f"the webhook at meetergo does not send {', '.join(details['events'])} any more"
    return "meetergo has no webhook for our address any more"


def _refused(details: Details) -> str:
    if details["reason"] == "unreadable":
        return f"the API key of meetergo cannot be used: {details['why']}"
    return "meetergo refuses the API key" + (": it has expired" if details["reason"] == "expired" else "")


def _key(details: Details) -> str:
    return f"the API key of meetergo {_ends(details['days'])}"


def _certificate(details: Details) -> str:
    subject = f"the certificate of {details['host']}"
    return (
        f"{subject} is not valid: {details['reason']}" if "reason" in details else f"{subject} {_ends(details['days'])}"
    )


def _unmapped(details: Details) -> str:
    ids, more = ", ".join(details["ids"]), details["hosts"] - len(details["ids"])
    named = f"{ids} and {more} more" if more else ids
    waiting = "waits" if details["bookings"] == 1 else "wait"
    hosts = f"{details['hosts']} hosts of meetergo are not platform users"
    if details["hosts"] == 1:
        hosts = "a host of meetergo is not a platform user"
    return f"{hosts} ({named}), and {_count(details['bookings'], 'booking')} {waiting} for an owner"


def _reconcile(details: Details) -> str:
    return f"reconcile cannot read everything: {details['error']}"


CAUSES: Mapping[IncidentKind, Callable[[Details], str]] = {
    "webhooks_silent": _silent,
    "webhooks_missed": _missed,
    "registration_lost": _lost,
    "api_key_refused": _refused,
    "api_key_expiring": _key,
    "certificate_expiring": _certificate,
    "hosts_unmapped": _unmapped,
    "reconcile_stopped": _reconcile,
}


def _ends(days: int) -> str:
    if days < 0:
        return "has ended"
    return "ends today" if days == 0 else f"ends in {_count(days, 'day')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _time(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"
