"""Users: list, create and change the company's users."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meetergo.api.defaults import PAGE_SIZE
from meetergo.api.errors import BadRequest, InvalidCall
from meetergo.api.request import identifier
from meetergo.api.schedule import Hours
from meetergo.api.schemas import NewUser, User
from meetergo.api.session import Resource, Response, without_none

MIN_SLUG_LENGTH = 5
UNSUPPORTED_MEDIA_TYPE = 415


@dataclass(frozen=True)
class FirstMeetingTypeOptions:
    """The first meeting type of a user.

    Attributes:
        name: shown to guests.
        duration: in minutes.
        slug: the last part of its URL; None to let meetergo choose.
        channel: such as `phone` (meetergo's default), `zoom` or `connect`.
        days_into_future: how far ahead it can be booked.
    """

    name: str
    duration: int
    slug: str | None = None
    channel: str | None = None
    days_into_future: int | None = None

    def body(self) -> dict[str, Any]:
        """Return the options as request JSON."""
        return without_none(
            name=self.name,
            duration=self.duration,
            slug=self.slug,
            channel=self.channel,
            daysIntoFuture=self.days_into_future,
        )


class Users(Resource):
    """API calls for users."""

    def me(self) -> User:
        """Return the user of the key; for a Platform key, the company's owner. Useful as a health check of the key.

        Raises:
            Unauthorised: the key is wrong, expired (`KeyExpired`) or revoked.
        """
        return self._session.get("/v4/user/me", impersonation="optional").one(User)

    def list(self) -> Iterator[User]:
        """Yield all users of the company, loading pages as needed. The acting user must be an admin."""
        return self._session.pages(User, "users", PAGE_SIZE, self._users_page)

    def find(self, email: str) -> User | None:
        """Return the user with an e-mail, ignoring case. It reads the whole list: meetergo has no such search."""
        wanted = email.strip().casefold()
        return next((user for user in self.list() if (user.email or "").strip().casefold() == wanted), None)

    def create(
        self,
        email: str,
        given_name: str,
        family_name: str,
        timezone: str,
        *,
        slug: str | None = None,
        hours: Hours | None = None,
        meeting_type: FirstMeetingTypeOptions | None = None,
    ) -> NewUser:
        """Create a user. Look for the e-mail first, and again after `OutcomeUnknown`.

        Args:
            email: unique; it cannot be changed later.
            given_name: the first name.
            family_name: the last name.
            timezone: IANA, such as Europe/Berlin.
            slug: the user's part of booking URLs; None to let meetergo choose.
            hours: when the user can be booked; None for meetergo's default hours.
            meeting_type: the first meeting type; None for meetergo's default of 30 minutes.

        Raises:
            AlreadyExists: a user with this e-mail or slug exists.
            OutcomeUnknown: the user may have been created.
        """
        body = without_none(
            email=email,
            givenName=given_name,
            familyName=family_name,
            timezone=timezone,
            slug=slug,
            availability=hours and hours.body(),
            meetingType=meeting_type and meeting_type.body(),
        )
        return self._post_user(body).one(NewUser)

    def update(
        self,
        user_id: str,
        *,
        given_name: str | None = None,
        family_name: str | None = None,
        slug: str | None = None,
    ) -> User:
        """Change a user. A new slug invalidates the user's old booking URLs.

        Raises:
            InvalidCall: nothing to change, or a slug shorter than 5 characters.
        """
        changes = without_none(givenName=given_name, familyName=family_name, slug=slug)
        if not changes:
            raise InvalidCall("nothing to change: give a name or a slug")
        if slug is not None and len(slug) < MIN_SLUG_LENGTH:
            raise InvalidCall(f"a user's slug has at least {MIN_SLUG_LENGTH} characters")
        user_id = identifier(user_id, "user")
        response = self._session.patch(f"/v4/user/{user_id}", changes)
        listed = (user for user in self.list() if user.id == user_id) if response.is_empty else iter(())
        return next(listed, None) or response.one(User)

    def _users_page(self, number: int) -> Response:
        return self._session.get("/v4/user", {"limit": PAGE_SIZE, "offset": number * PAGE_SIZE})

    def _post_user(self, body: dict[str, Any]) -> Response:
        """Send a body as JSON, and as a form if meetergo asks for one: its documents show both."""
        try:
            return self._session.post("/v4/user", body, impersonation="never")
        except BadRequest as error:
            if error.status != UNSUPPORTED_MEDIA_TYPE and "multipart" not in error.detail.lower():
                raise
        return self._session.post("/v4/user", body, impersonation="never", is_form=True)
