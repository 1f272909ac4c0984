"""ProviderAppointments: a host's appointments at the provider, as either kind of credential gets to see them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from meetergo.api import Meetergo
from meetergo.api.errors import Forbidden, NotFound, Rejected, Unauthorised, Unavailable
from meetergo.api.schemas import Appointment


@dataclass(frozen=True)
class HostAppointments:
    """One host's appointments, cancelled ones too.

    Attributes:
        clients: who may read them, the best first; lists are read by the first.
        of_user: the host, if the client is somebody else.
    """

    clients: tuple[Meetergo, ...]
    of_user: str | None

    def newest_first(self, since: datetime) -> Iterator[Appointment]:
        """By when they were booked; those that start from a time on."""
        return self.clients[0].appointments(
            start=since, of_user=self.of_user, sort_by="appointment.createdAt", newest_first=True
        )

    def between(self, since: datetime, until: datetime) -> Iterator[Appointment]:
        """By their start."""
        return self.clients[0].appointments(start=since, end=until, of_user=self.of_user)

    def get(self, booking_id: str) -> Appointment | None:
        """A single one; None if meetergo knows no such appointment.

        Raises:
            Forbidden: nobody whom we may ask for is allowed to see it.
            ApiError: meetergo did not answer.
        """
        forbidden: Forbidden | None = None
        for client in self.clients:
            try:
                return client.appointment(booking_id)
            except NotFound:
                continue
            except Forbidden as error:
                forbidden = error
        if forbidden:
            raise forbidden
        return None


@dataclass(frozen=True)
class ProviderAppointments:
    """Everybody's.

    Attributes:
        client: meetergo.
        user_id: whom a Platform key acts as if no host is named: an admin; empty for the company's owner.
    """

    client: Meetergo
    user_id: str = ""

    def for_host(self, host_id: str) -> HostAppointments:
        """One host's. A Platform key acts as the host; a personal token asks for it by name, unless it is its owner's.

        Raises:
            Misuse: this is no id of a user.
            ApiError: meetergo does not say whose key this is.
        """
        acting = self.acting_user
        if not self.client.can_impersonate:
            return HostAppointments((self.client,), None if host_id == acting else host_id)
        host = self.client.as_user(host_id)
        return HostAppointments((host, self.client.as_user(acting)) if acting and acting != host_id else (host,), None)

    @cached_property
    def acting_user(self) -> str | None:
        """Who is asked for besides the hosts that are known: see `admin_id`.

        Raises:
            ApiError: meetergo does not say whose key this is.
        """
        return admin_id(self.client, self.user_id)

    def is_reachable(self) -> bool:
        """Whether meetergo answers at all.

        Raises:
            ApiError: it answers, and refuses us.
        """
        try:
            self.client.me()
        except Unavailable:
            return False
        return True


def admin_id(client: Meetergo, configured: str) -> str | None:
    """Whose calls those are that name no host.

    Args:
        client: meetergo.
        configured: the user that the settings name; empty for the token's owner, or with a Platform key the company's.

    Returns:
        None if meetergo does not let this key ask.

    Raises:
        ApiError: meetergo knows no such key, or did not answer.
    """
    if configured:
        return configured
    try:
        return client.me().id
    except Unauthorised:
        raise
    except Rejected:
        return None
