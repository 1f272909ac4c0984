"""A host's appointments at the provider, as each kind of credential can read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from meetergo.api.errors import ApiError, Forbidden, NotFound, Rejected, Unauthorised, Unavailable

if TYPE_CHECKING:
    from meetergo.api import Meetergo
    from meetergo.api.schemas import Appointment


@dataclass(frozen=True)
class HostAppointments:
    """One host's appointments, including cancelled ones.

    Attributes:
        clients: API clients that may read them, best first; lists are read by the first.
        of_user: the host, if the client acts as another user.
        sees_every_booking: whether one of the clients acts as a user who sees those of all hosts.
    """

    clients: tuple["Meetergo", ...]
    of_user: str | None = None
    sees_every_booking: bool = False

    def newest_first(self, since: datetime) -> "Iterator[Appointment]":
        """Yield appointments that start after a time, last booked first."""
        return self.clients[0].appointments.list(
            start=since, of_user=self.of_user, sort_by="appointment.createdAt", newest_first=True
        )

    def between(self, since: datetime, until: datetime) -> "Iterator[Appointment]":
        """Yield appointments that start between two times."""
        return self.clients[0].appointments.list(start=since, end=until, of_user=self.of_user)

    def get(self, booking_id: str) -> "Appointment | None":
        """Return one appointment; None if meetergo does not know it.

        Raises:
            Forbidden: none of the clients may read it.
            ApiError: meetergo did not answer.
        """
        if not is_uuid(booking_id):
            return None
        forbidden: Forbidden | None = None
        for client in self.clients:
            try:
                return client.appointments.get(booking_id)
            except NotFound:
                continue
            except Forbidden as error:
                forbidden = error
        if forbidden:
            raise forbidden
        return None


@dataclass(frozen=True)
class ProviderAppointments:
    """The appointments of all hosts.

    Attributes:
        client: meetergo's API client.
        user_id: the user, an admin, that a Platform key impersonates if no host is named; empty for the company's
            owner.
    """

    client: "Meetergo"
    user_id: str

    def for_host(self, host_id: str) -> HostAppointments:
        """Return one host's appointments. A Platform key impersonates the host; a personal token names it in the query.

        Raises:
            InvalidCall: the id is not a user id.
            ApiError: meetergo does not say whose key this is.
        """
        acting = self.acting_user
        if not self.client.can_impersonate:
            return HostAppointments((self.client,), None if host_id == acting else host_id)
        host = self.client.as_user(host_id)
        return HostAppointments((host, self.client.as_user(acting)) if acting and acting != host_id else (host,))

    @cached_property
    def acting_user(self) -> str | None:
        """The user to compare besides the mapped hosts: see `admin_id`.

        Raises:
            ApiError: meetergo does not say whose key this is.
        """
        return admin_id(self.client, self.user_id)

    def check_reachable(self) -> None:
        """Check that meetergo responds at all, and knows the key.

        Raises:
            Unauthorised: it does not know the key.
            Unavailable: it does not respond.
        """
        try:
            self.client.users.me()
        except (Unauthorised, Unavailable):
            raise
        except ApiError:  # such as 403: that is a response
            return


def admin_id(client: "Meetergo", configured: str) -> str | None:
    """Return the user to act as in calls that concern no single host.

    Args:
        client: meetergo's API client.
        configured: the user from the settings; empty for the token's owner, or with a Platform key the company's.

    Returns:
        The user's id; None if meetergo does not let this key ask.

    Raises:
        ApiError: meetergo does not know the key, or gave no usable answer.
    """
    if configured:
        return configured
    try:
        return client.users.me().id
    except Unauthorised:
        raise
    except Rejected:
        return None


def is_uuid(booking_id: str) -> bool:
    """Whether an id is a UUID. meetergo answers 500 for any other id, so forged webhooks could stall the worker."""
    try:
        return str(UUID(booking_id)) == booking_id.lower()
    except ValueError:
        return False
