"""Classify an HTTP status: accepted, permanent failure or transient failure."""

from datetime import datetime

from meetergo.retry_after import parse_retry_after
from runtime.errors import Permanent, Transient

RETRYABLE_STATUSES = {408, 409, 425, 429}
"""Request Timeout, Conflict, Too Early, Too Many Requests: client errors worth a retry."""

TEMPORARY_REFUSALS = {302, 303, 307, 401, 403, 404, 405, 407, 421}
"""Statuses that pass: a proxy answers 404 or 421 while the platform is deployed, 302, 303 or 307 to a maintenance page,
and 407 while its own password is rotated; nginx answers a POST with 405 while it serves a static maintenance page; a
platform answers 401 or 403 while its secrets are rotated. 410 Gone is always deliberate."""


class TemporaryRefusal(Transient):
    """The other side rejects the message for now; after an hour of rejections the failure is permanent."""


def classify_status(status: int, retry_after: str | None, now: datetime) -> None:
    """Return if the platform accepted the message, else raise.

    Args:
        status: HTTP status of the response.
        retry_after: the `Retry-After` header as received.
        now: when the response arrived, UTC.

    Raises:
        Permanent: a permanent redirect or a definite rejection.
        TemporaryRefusal: a rejection that often passes.
        Transient: an overload or a server error, with the delay that was asked for.
    """
    if 200 <= status < 300:
        return
    text = f"the platform answered {status}{': redirects are not followed' if 300 <= status < 400 else ''}"
    if status in TEMPORARY_REFUSALS:
        raise TemporaryRefusal(text, parse_retry_after(retry_after, now))
    if status < 500 and status not in RETRYABLE_STATUSES:
        raise Permanent(text)
    raise Transient(text, parse_retry_after(retry_after, now))
