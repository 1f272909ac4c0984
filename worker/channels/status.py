"""Classify an HTTP status: accepted, permanent failure or transient failure."""

from datetime import datetime

from meetergo.retry_after import parse_retry_after
from runtime.errors import Permanent, Transient

RETRYABLE_STATUSES = {408, 409, 425, 429}
"""Request Timeout, Conflict, Too Early, Too Many Requests: client errors worth a retry."""
GONE = 410
"""The only refusal that is always deliberate. A proxy answers 404, 421 or a redirect while the platform is deployed,
Django 400 to a host that it does not know yet, nginx 405 while it serves a static maintenance page, a firewall 406;
a platform answers 401 or 403 while its secrets are rotated, and 400 or 422 until a bug of its own is mended."""


class TemporaryRefusal(Transient):
    """The other side rejects the message for now; after an hour of the same rejection the failure is permanent."""


def classify_status(status: int, retry_after: str | None, now: datetime) -> None:
    """Return if the platform accepted the message, else raise.

    Args:
        status: HTTP status of the response.
        retry_after: the `Retry-After` header as received.
        now: when the response arrived, UTC.

    Raises:
        Permanent: the address is gone.
        TemporaryRefusal: any other rejection, or a redirect.
        Transient: an overload or a server error, with the delay that was asked for.
    """
    if 200 <= status < 300:
        return
    text = f"the platform answered {status}{': redirects are not followed' if 300 <= status < 400 else ''}"
    if status == GONE:
        raise Permanent(text)
    if status < 500 and status not in RETRYABLE_STATUSES:
        raise TemporaryRefusal(text, parse_retry_after(retry_after, now))
    raise Transient(text, parse_retry_after(retry_after, now))
