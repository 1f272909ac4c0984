"""What an HTTP answer means for what we sent: taken, never, or later."""

from datetime import datetime

from meetergo.retry_after import parse_retry_after
from runtime.errors import Permanent, Transient

RETRYABLE_STATUSES = {408, 409, 425, 429}
"""Request Timeout, Conflict, Too Early, Too Many Requests: the client errors that pass."""

TEMPORARY_REFUSALS = {401, 403, 404}
"""Unauthorized, Forbidden, Not Found: a proxy says so while the platform is deployed, a platform while its secrets are
changed. 410 Gone is said on purpose."""


class TemporaryRefusal(Transient):
    """The platform refuses it as it is now; once it has done so for an hour, that is final."""


def classify_status(status: int, retry_after: str | None, now: datetime) -> None:
    """Returns if the platform took the message.

    Args:
        status: of the answer.
        retry_after: the header of that name, as it came.
        now: when the answer came, UTC.

    Raises:
        Permanent: a redirect or a refusal.
        TemporaryRefusal: a refusal that often passes.
        Transient: an overload or an accident, with the wait that was asked for.
    """
    if 200 <= status < 300:
        return
    text = f"the platform answered {status}"
    if 300 <= status < 400:
        raise Permanent(f"{text}: redirects are not followed")
    if status in TEMPORARY_REFUSALS:
        raise TemporaryRefusal(text, parse_retry_after(retry_after, now))
    if status < 500 and status not in RETRYABLE_STATUSES:
        raise Permanent(text)
    raise Transient(text, parse_retry_after(retry_after, now))
