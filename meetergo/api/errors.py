"""Errors of meetergo's API, named by what is done about them.

ApiError
├── InvalidCall       we did not send it: the call itself is wrong
├── Rejected          trying again cannot help
│   ├── BadRequest        400 and the like; `fields` says which
│   │   └── AlreadyExists 409, or a 400 that says so: look it up, adopt it
│   ├── SlotTaken         the time is no longer free: ask for slots again
│   ├── Unauthorised      401
│   │   └── KeyExpired
│   ├── Forbidden         403: the user or the key may not
│   ├── NotFound          404
│   ├── LimitReached      406: as many as the company may have, such as six webhooks
│   └── PlanLimit         the company's plan does not hold this feature
├── Unavailable       trying again may help: no connection, a 5xx to a read
│   ├── RateLimited       429, or our own limit: after `retry_after`
│   └── BadResponse       an answer that is not what its documents show
├── OutcomeUnknown    a write of which we do not know whether it was applied: look before trying again
└── PartiallyApplied  the first of several writes was applied: `created_id` exists
"""

from collections.abc import Mapping
from datetime import timedelta


class ApiError(Exception):
    """A call did not do what it should. The message is ours and safe to log: no key, nobody's data that we know of.

    Attributes:
        is_transient: whether the same call may simply be made again, later.
        status: the HTTP status, if there was an answer.
        detail: what meetergo said, with addresses, numbers and keys taken out.
        fields: field -> what meetergo said of it.
        feature: what the plan lacks, for `PlanLimit`.
        retry_after: how long meetergo asked us to wait, if it did; at most a day.
    """

    is_transient = False
    advice = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        detail: str = "",
        fields: Mapping[str, str] | None = None,
        feature: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(f"{message}: {self.advice}" if self.advice else message)
        self.status = status
        self.detail = detail
        self.fields = dict(fields or {})
        self.feature = feature
        self.retry_after = retry_after


class InvalidCall(ApiError):
    """The call is wrong as it stands, so it was not sent."""


class Rejected(ApiError):
    """meetergo rejected the request, and would reject it again."""


class BadRequest(Rejected):
    """meetergo does not accept these values."""


class AlreadyExists(BadRequest):
    """There is one with this e-mail, slug or the like."""

    advice = "look it up and use that one, or choose another name"


class SlotTaken(Rejected):
    """The time is no longer free."""

    advice = "ask for the free slots again, and choose another"


class Unauthorised(Rejected):
    """meetergo does not know the key."""

    advice = "check the API key"


class KeyExpired(Unauthorised):
    """Platform keys live for 90 days at most."""

    advice = "make a new key in meetergo and configure it"


class Forbidden(Rejected):
    """The key, or the user whom it acts as, may not do this."""

    advice = "check the role of the user whom the key acts as, and what the key may do"


class NotFound(Rejected):
    """There is no such thing, or not for this user."""


class LimitReached(Rejected):
    """The company has as many of these as it may have."""

    advice = "remove one that is not needed"


class PlanLimit(Rejected):
    """The company's plan does not include this feature."""

    advice = "ask meetergo for a plan that holds it"


class Unavailable(ApiError):
    """meetergo did not answer, or could not."""

    is_transient = True


class RateLimited(Unavailable):
    """Too many requests in a minute."""


class BadResponse(Unavailable):
    """The answer is not what its documents show."""


class OutcomeUnknown(ApiError):
    """Whether a write was applied is not known. Nothing has an idempotency key: a blind repeat may do it twice."""

    advice = "look whether it was applied before you try again"


class PartiallyApplied(ApiError):
    """Something was created, and a later step failed; `__cause__` has its error.

    Attributes:
        created_id: what exists now.
    """

    advice = "do not create it again, go on with the one that exists"

    def __init__(self, message: str, created_id: str) -> None:
        super().__init__(message)
        self.created_id = created_id
