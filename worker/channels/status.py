"""What an HTTP answer means for what we sent: taken, never, or later."""

from datetime import datetime

from runtime.errors import Permanent, Transient
from runtime.retry_after import wait

WORTH_ANOTHER_TRY = {408, 409, 425, 429}
"""Request Timeout, Conflict, Too Early, Too Many Requests: the client errors that pass."""

WORTH_AN_HOUR = {401, 403, 404}
"""Unauthorized, Forbidden, Not Found: a proxy says so while the platform is deployed, a platform while its secrets are
changed. 410 Gone is said on purpose."""


class Refused(Transient):
    """The platform refuses it as it is now; once it has done so for an hour, that is final."""


def classify_status(status: int, retry_after: str | None, now: datetime) -> None:
    """Returns if the platform took the message.

    Args:
        status: of the answer.
        retry_after: the header of that name, as it came.
        now: when the answer came, UTC.

    Raises:
        Permanent: a redirect or a refusal.
        Refused: a refusal that often passes.
        Transient: an overload or an accident, with the wait that was asked for.
    """
    if 200 <= status < 300:
        return
    answered = f"the platform answered {status}"
    if 300 <= status < 400:
        raise Permanent(f"{answered}: redirects are not followed")
    if status in WORTH_AN_HOUR:
        raise Refused(answered, wait(retry_after, now))
    if status < 500 and status not in WORTH_ANOTHER_TRY:
        raise Permanent(answered)
    raise Transient(answered, wait(retry_after, now))
