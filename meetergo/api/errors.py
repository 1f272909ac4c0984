"""Errors of meetergo's API, named after what the caller does about them.

ApiError
├── InvalidCall       not sent: the call itself is wrong
├── Rejected          a retry cannot help
│   ├── BadRequest        400 and the like; `fields` names the values
│   │   └── AlreadyExists 409, or a 400 that says so: look it up and adopt it
│   ├── SlotTaken         the slot is no longer free: load the slots again
│   ├── Unauthorised      401
│   │   └── KeyExpired
│   ├── Forbidden         403: the user or the key is not allowed
│   ├── NotFound          404
│   ├── LimitReached      406: the company's maximum is reached, such as six webhooks
│   └── PlanLimit         the company's plan does not include this feature
├── Unavailable       a retry may help: no connection, a 5xx or a redirect for a read
│   ├── RateLimited       429, or the client's own limit: retry after `retry_after`
│   └── BadResponse       the response does not have the documented form
├── OutcomeUnknown    it is unknown whether a write was applied: check before a retry
└── PartiallyApplied  the first of several writes was applied: `created_id` exists
"""

from collections.abc import Mapping
from datetime import timedelta


class ApiError(Exception):
    """A call failed. The message is ours and safe to log: it holds no key and no known personal data.

    Attributes:
        is_transient: whether the same call may succeed later.
        status: the HTTP status, if there was a response.
        detail: meetergo's message, with addresses, numbers and keys removed.
        fields: field -> meetergo's message about it.
        feature: the feature that the plan lacks, for `PlanLimit`.
        retry_after: the delay that meetergo asked for, if any; at most a day.
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
    """The call itself is wrong, so it was not sent."""


class Rejected(ApiError):
    """meetergo rejected the request, and would reject it again."""


class BadRequest(Rejected):
    """meetergo does not accept these values."""


class AlreadyExists(BadRequest):
    """An object with this e-mail, slug or similar exists."""

    advice = "look it up and use that one, or choose another name"


class SlotTaken(Rejected):
    """The slot is no longer free."""

    advice = "load the free slots again, and choose another"


class Unauthorised(Rejected):
    """meetergo does not know the key."""

    advice = "check the API key"


class KeyExpired(Unauthorised):
    """The key expired: Platform keys are valid for at most 90 days."""

    advice = "make a new key in meetergo and configure it"


class Forbidden(Rejected):
    """The key, or the acting user, is not allowed to do this."""

    advice = "check the role of the user whom the key acts as, and what the key may do"


class NotFound(Rejected):
    """The object does not exist, or is not visible to this user."""


class LimitReached(Rejected):
    """The company has reached its maximum number of these."""

    advice = "remove one that is not needed"


class PlanLimit(Rejected):
    """The company's plan does not include this feature."""

    advice = "ask meetergo for a plan that includes it"


class Unavailable(ApiError):
    """meetergo did not respond, or responded with a server error."""

    is_transient = True


class RateLimited(Unavailable):
    """Too many requests within a minute."""


class BadResponse(Unavailable):
    """The response does not have the documented form."""


class OutcomeUnknown(ApiError):
    """It is unknown whether a write was applied. There are no idempotency keys: a blind retry may apply it twice."""

    advice = "check whether it was applied before a retry"


class PartiallyApplied(ApiError):
    """An object was created, and a later step failed; `__cause__` has the error.

    Attributes:
        created_id: id of the created object.
    """

    advice = "do not create it again, continue with the one that exists"

    def __init__(self, message: str, created_id: str) -> None:
        super().__init__(message)
        self.created_id = created_id
