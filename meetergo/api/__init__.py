"""meetergo's API: the client `Meetergo`, the response models in `schemas`, and the exceptions in `errors`."""

from meetergo.api.bookings import Guest
from meetergo.api.client import Meetergo
from meetergo.api.credential import Credential, UnusableKey
from meetergo.api.embed import embed_code
from meetergo.api.rate_limit import BULK_SHARE, RateLimiter
from meetergo.api.schedule import Hours
from meetergo.api.schemas import AwaitingConfirmation, Booked
from meetergo.api.users import FirstMeetingTypeOptions

__all__ = [
    "BULK_SHARE",
    "AwaitingConfirmation",
    "Booked",
    "Credential",
    "FirstMeetingTypeOptions",
    "Guest",
    "Hours",
    "Meetergo",
    "RateLimiter",
    "UnusableKey",
    "embed_code",
]
