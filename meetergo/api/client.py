"""The client: meetergo's API as one class."""

import time
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from meetergo.api import transport
from meetergo.api.appointments import Appointments
from meetergo.api.availability import AvailabilityResource
from meetergo.api.bookings import Bookings
from meetergo.api.branding import Branding
from meetergo.api.credential import Credential
from meetergo.api.meeting_types import MeetingTypes
from meetergo.api.rate_limit import RateLimiter
from meetergo.api.request import identifier
from meetergo.api.session import Session
from meetergo.api.templates import Templates
from meetergo.api.transport import Transport
from meetergo.api.users import Users
from meetergo.api.webhooks import Webhooks


class Meetergo(Users, MeetingTypes, AvailabilityResource, Bookings, Appointments, Branding, Templates, Webhooks):
    """A client of meetergo's API. It is thread-safe; close it when done.

    Every call raises `meetergo.api.errors.ApiError`, or one of the more exact errors beneath it.

    Args:
        key: a Platform API key or a personal access token.
        user_id: whom calls act as, with a Platform key; an admin for calls about users and webhooks.
        rate_limiter: how many requests may be made; None for one that counts in this process alone.
        base_url: the API's root.
        local_webhooks: whether webhooks may go to this machine; for a stand-in.
        timeout: for connecting, and for each wait for bytes.
        attempts: how often to send at most what is safe to repeat.
        max_backoff: between two attempts, whatever meetergo asks for.
        sleep: waits some seconds.
        clock: what time it is, UTC.

    Raises:
        UnusableKey: the key has neither form.
    """

    def __init__(
        self,
        key: str | Credential,
        *,
        user_id: str | None = None,
        rate_limiter: RateLimiter | None = None,
        base_url: str = transport.API_URL,
        local_webhooks: bool = False,
        timeout: timedelta = transport.TIMEOUT,
        attempts: int = transport.MAX_ATTEMPTS,
        max_backoff: timedelta = transport.MAX_BACKOFF,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        sender = Transport(
            key if isinstance(key, Credential) else Credential.read(key),
            rate_limiter or RateLimiter(sleep=sleep),
            base_url=base_url,
            timeout=timeout,
            attempts=attempts,
            max_backoff=max_backoff,
            sleep=sleep,
            clock=clock,
        )
        super().__init__(Session(sender, _user(sender, user_id), local_webhooks))

    @property
    def can_impersonate(self) -> bool:
        """Whether calls may act as any user of the company: with a Platform key; a personal token is its owner."""
        return self._session.transport.credential.kind == "platform"

    def as_user(self, user_id: str) -> "Meetergo":
        """Return a client that acts as a user: what it creates is theirs, and it lists what they can see.

        Raises:
            InvalidCall: a personal access token acts as its owner and nobody else.
        """
        other = copy(self)
        other._session = replace(self._session, user_id=_user(self._session.transport, user_id))
        return other

    def close(self) -> None:
        """Close the connections, also for clients that share them through `as_user`."""
        self._session.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Meetergo({self._session.transport!r})"


def _user(sender: Transport, user_id: str | None) -> str | None:
    if user_id:
        sender.credential.header(identifier(user_id, "user"), "optional")
    return user_id or None
