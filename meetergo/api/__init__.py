"""meetergo's API: the client `Meetergo`, the response models in `schemas`, and the exceptions in `errors`.

Names are imported when they are first used, so that a module that needs only the exceptions does not load the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meetergo.api.client import Meetergo
    from meetergo.api.credential import Credential, UnusableKey
    from meetergo.api.defaults import BULK_SHARE
    from meetergo.api.embed import embed_code
    from meetergo.api.rate_limit import RateLimiter
    from meetergo.api.resources.bookings import Guest
    from meetergo.api.resources.users import FirstMeetingTypeOptions
    from meetergo.api.schedule import Hours
    from meetergo.api.schemas import AwaitingConfirmation, Booked

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

_MODULES = {
    "AwaitingConfirmation": "schemas",
    "BULK_SHARE": "defaults",
    "Booked": "schemas",
    "Credential": "credential",
    "FirstMeetingTypeOptions": "resources.users",
    "Guest": "resources.bookings",
    "Hours": "schedule",
    "Meetergo": "client",
    "RateLimiter": "rate_limit",
    "UnusableKey": "credential",
    "embed_code": "embed",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
