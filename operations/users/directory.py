"""The directory of meetergo's users by e-mail, cached until a user may have been added."""

from collections import defaultdict
from collections.abc import Sequence

from meetergo.api import Meetergo
from meetergo.api.schemas import MeetingType, User


class Directory:
    """The company's users, read when first needed.

    Args:
        meetergo: API client that acts as an admin.
    """

    def __init__(self, meetergo: Meetergo) -> None:
        self._meetergo = meetergo
        self._by_email: dict[str, list[User]] | None = None

    def by_email(self, email: str) -> Sequence[User]:
        """Return the users with an e-mail address, compared case-insensitively."""
        return self._users.get(normalised(email), [])

    def all(self) -> dict[str, User]:
        """Return all users by meetergo id."""
        return {user.id: user for users in self._users.values() for user in users}

    def invalidate(self) -> None:
        """Clear the cache: a create whose response was lost may have been applied."""
        self._by_email = None

    def meeting_types(self, user_id: str) -> list[MeetingType]:
        """Return the meeting types of a user.

        Raises:
            InvalidCall: a personal access token cannot impersonate another user.
        """
        return self._meetergo.as_user(user_id).meeting_types.list()

    @property
    def _users(self) -> dict[str, list[User]]:
        if self._by_email is None:
            found = defaultdict(list)
            for user in self._meetergo.users.list():
                found[normalised(user.email or "")].append(user)
            self._by_email = dict(found)
        return self._by_email


def full_name(user: User) -> str:
    """Return the user's name, as far as meetergo has it."""
    return " ".join(filter(None, (user.given_name, user.family_name)))


def booking_url(user: User, meeting_type: MeetingType, root: str | None) -> str | None:
    """Return the booking page's URL: meetergo's own, else built from the given root in the form of public pages.

    Source of the form: developer.meetergo.com; companies can have their own domains, so the root cannot be guessed.
    """
    if meeting_type.booking_url or not (root and user.slug and meeting_type.slug):
        return meeting_type.booking_url
    return f"{root.rstrip('/')}/{user.slug}/{meeting_type.slug}"


def normalised(email: str) -> str:
    """Normalise an address for comparison."""
    return email.strip().casefold()
