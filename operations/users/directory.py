"""The directory: meetergo's users by e-mail, read once, and again when somebody may have come to it."""

from collections import defaultdict
from collections.abc import Sequence

from meetergo.api import Meetergo
from meetergo.api.schemas import MeetingType, User


class Directory:
    """Who is in the company. The list is read when it is first needed.

    Args:
        meetergo: acts as an admin.
    """

    def __init__(self, meetergo: Meetergo) -> None:
        self._meetergo = meetergo
        self._by_email: dict[str, list[User]] | None = None

    def by_email(self, email: str) -> Sequence[User]:
        """Those with an e-mail, compared without case."""
        return self._users.get(_normalised(email), [])

    def all(self) -> dict[str, User]:
        """Meetergo's id -> user."""
        return {user.id: user for users in self._users.values() for user in users}

    def invalidate(self) -> None:
        """Forgets what was read: a create may have been applied without our hearing of it."""
        self._by_email = None

    def meeting_types(self, user_id: str) -> list[MeetingType]:
        """What can be booked with a user.

        Raises:
            Misuse: a personal access token cannot act as another user.
        """
        return self._meetergo.as_user(user_id).meeting_types()

    @property
    def _users(self) -> dict[str, list[User]]:
        if self._by_email is None:
            found = defaultdict(list)
            for user in self._meetergo.users():
                found[_normalised(user.email or "")].append(user)
            self._by_email = dict(found)
        return self._by_email


def full_name(user: User) -> str:
    """As far as meetergo knows it."""
    return " ".join(filter(None, (user.given_name, user.family_name)))


def booking_url(user: User, meeting_type: MeetingType, root: str | None) -> str | None:
    """Where guests book: as meetergo says it, or else under the root that somebody named, as public pages are.

    Source of the form: developer.meetergo.com; companies have domains of their own, so the root cannot be guessed.
    """
    if meeting_type.booking_url or not (root and user.slug and meeting_type.slug):
        return meeting_type.booking_url
    return f"{root.rstrip('/')}/{user.slug}/{meeting_type.slug}"


def _normalised(email: str) -> str:
    return email.strip().casefold()
