"""The client: meetergo's API as one class."""

import time
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from meetergo.api import transport
from meetergo.api.credential import Credential
from meetergo.api.defaults import API_URL
from meetergo.api.rate_limit import RateLimiter
from meetergo.api.request import identifier
from meetergo.api.resources.appointments import Appointments
from meetergo.api.resources.availability import AvailabilityResource
from meetergo.api.resources.bookings import Bookings
from meetergo.api.resources.meeting_types import MeetingTypes
from meetergo.api.resources.personal_page import PersonalPage
from meetergo.api.resources.templates import Templates
from meetergo.api.resources.users import Users
from meetergo.api.resources.webhooks import Webhooks
from meetergo.api.session import Session
from meetergo.api.transport import Transport


class Meetergo:
    """A client for meetergo's API: `client.users.create(...)`, `client.webhooks.list()`. Close it when done.

    It is thread-safe. Every call raises `meetergo.api.errors.ApiError` or one of its subclasses.

    Attributes:
        users: the company's users.
        meeting_types: what the acting user can be booked for.
        availability: the hours of a user, and free slots.
        bookings: books a slot.
        appointments: what is booked: read, cancel, reschedule.
        personal_page: the look of the acting user's page.
        templates: of meeting types.
        webhooks: where meetergo sends events.

    Args:
        key: a Platform API key or a personal access token.
        user_id: user to act as, with a Platform key; calls for users and webhooks need an admin.
        rate_limiter: limits the requests; None for one that counts only in this process.
        base_url: the API's root.
        local_webhooks: whether webhooks may go to this machine, for the sandbox.
        timeout: for connecting, and for each read.
        attempts: maximum attempts of a request that is safe to repeat.
        max_backoff: maximum pause between attempts, whatever meetergo asks for.
        sleep: waits N seconds.
        clock: returns the time, UTC.

    Raises:
        UnusableKey: the key is neither a Platform key nor a personal token.
    """

    def __init__(
        self,
        key: str | Credential,
        *,
        user_id: str | None = None,
        rate_limiter: RateLimiter | None = None,
        base_url: str = API_URL,
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
        self._open(Session(sender, _user(sender, user_id), local_webhooks))

    def _open(self, session: Session) -> None:
        self._session = session
        self.users = Users(session)
        self.meeting_types = MeetingTypes(session)
        self.availability = AvailabilityResource(session)
        self.bookings = Bookings(session)
        self.appointments = Appointments(session)
        self.personal_page = PersonalPage(session)
        self.templates = Templates(session)
        self.webhooks = Webhooks(session)

    @property
    def can_impersonate(self) -> bool:
        """Whether calls may act as any user of the company: with a Platform key. A personal token acts as its owner."""
        return self._session.transport.credential.kind == "platform"

    def as_user(self, user_id: str) -> "Meetergo":
        """Return a client that acts as a user: it creates objects owned by that user and lists what the user can see.

        Raises:
            InvalidCall: a personal access token acts only as its owner.
        """
        other = copy(self)
        other._open(replace(self._session, user_id=_user(self._session.transport, user_id)))
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
