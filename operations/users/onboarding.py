"""Idempotent onboarding: each host gets one user in meetergo and one row here, despite interruptions.

meetergo has no idempotency key. The row prevents a second user; without a row, the e-mail is looked up before a create,
and again some time after a create with unknown outcome. Within a run, no create is repeated that may have been applied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from meetergo.api import Meetergo
from meetergo.api.errors import AlreadyExists, Forbidden, OutcomeUnknown
from meetergo.api.schemas import MeetingType, User
from models.platform_user import PlatformUser
from operations.consistency import wait_for_consistency
from operations.users.directory import Directory, booking_url
from operations.users.host_entry import HostEntry
from runtime.database import Database

OUTCOME_UNKNOWN = "it is unknown whether meetergo created the user, who is not listed: run it again later"
UNKNOWN_USER = (
    "its meetergo_user_id is not a user of the company: if the user is new, run this again; else correct it, "
    "or run users sync; users forget unmaps the host"
)
MEETING_TYPES_FORBIDDEN = "meetergo denies access to this user's meeting types: give the user a role that may have some"

Outcome = Literal["created", "adopted", "known"]


class NotOnboarded(Exception):
    """A host could not be onboarded; the message says why."""


class CreateUnconfirmed(NotOnboarded):
    """It is unknown whether the user was created, and meetergo does not list one."""


@dataclass(frozen=True)
class UserIdentity:
    """A host's ids in meetergo."""

    user_id: str
    meeting_type_id: str | None
    booking_url: str | None


@dataclass(frozen=True)
class Onboarding:
    """Onboards hosts one by one.

    Attributes:
        meetergo: API client that acts as an admin.
        database: the database with the platform users.
        directory: the company's users.
        account: the account to which the hosts belong.
        booking_root: root URL of public pages, for users without a URL from meetergo; None to leave it out.
        wait: waits before looking for a user whose create had an unknown outcome.
    """

    meetergo: Meetergo
    database: Database
    directory: Directory
    account: str
    booking_root: str | None = None
    wait: Callable[[], object] = wait_for_consistency

    def plan(self, entry: HostEntry) -> Outcome:
        """Return the outcome that `apply` would have."""
        return "known" if self._is_onboarded(entry) else "adopted" if self._find(entry) else "created"

    def apply(self, entry: HostEntry) -> Outcome:
        """Onboard a host and commit.

        Raises:
            NotOnboarded: the host cannot be onboarded.
            ApiError: meetergo failed or rejected a request.
            SQLAlchemyError: the database failed or refuses this host.
        """
        if self._is_onboarded(entry):
            return "known"
        if self._adopt_existing(entry):
            return "adopted"
        try:
            identity = self._create(entry)
        except (OutcomeUnknown, AlreadyExists) as error:
            return self._resolve_outcome(entry, error)
        self._save(entry, identity)
        return "created"

    def _resolve_outcome(self, entry: HostEntry, error: OutcomeUnknown | AlreadyExists) -> Outcome:
        """Look for the user after a create. If there is none, do not retry: the create may still be in progress."""
        outcome_unknown = isinstance(error, OutcomeUnknown)
        if outcome_unknown:
            self.wait()
        self.directory.invalidate()
        if self._adopt_existing(entry):
            return "adopted"
        if outcome_unknown:
            raise CreateUnconfirmed(OUTCOME_UNKNOWN) from error
        raise error

    def _adopt_existing(self, entry: HostEntry) -> bool:
        found = self._find(entry)
        if found:
            self._save(entry, self._identity_of(entry, found))
        return found is not None

    def _is_onboarded(self, entry: HostEntry) -> bool:
        with self.database.read_only() as session:
            row = PlatformUser.by_external_id(session, entry.external_id)
        if row and row.account != self.account:
            raise NotOnboarded(f"this external_id belongs to the account {row.account}")
        if row and row.email and row.email.casefold() != entry.email.casefold():
            raise NotOnboarded("another e-mail is known for this external_id: correct one of the two")
        return bool(row and row.meetergo_user_id and row.meetergo_meeting_type_id)

    def _find(self, entry: HostEntry) -> User | None:
        """Return the user named by the row; if it names none, the one with the e-mail."""
        with self.database.read_only() as session:
            row = PlatformUser.by_external_id(session, entry.external_id)
        if row and row.meetergo_user_id:
            mapped = self.directory.all().get(row.meetergo_user_id)
            if mapped is None:
                raise NotOnboarded(UNKNOWN_USER)
            return mapped
        found = self.directory.by_email(entry.email)
        if len(found) > 1:
            raise NotOnboarded("several users of meetergo have this e-mail: map the right one yourself")
        return found[0] if found else None

    def _create(self, entry: HostEntry) -> UserIdentity:
        new = self.meetergo.users.create(
            entry.email,
            entry.given_name,
            entry.family_name,
            entry.timezone,
            slug=entry.slug,
            hours=entry.opening_hours(),
            meeting_type=entry.first_meeting_type(),
        )
        return UserIdentity(new.id, new.meeting_type_id, new.booking_url)

    def _identity_of(self, entry: HostEntry, user: User) -> UserIdentity:
        try:
            found = self.directory.meeting_types(user.id)
        except Forbidden as error:
            raise NotOnboarded(MEETING_TYPES_FORBIDDEN) from error
        chosen = _choose_meeting_type(found, entry)
        if chosen is None:
            return UserIdentity(user.id, None, None)
        return UserIdentity(user.id, chosen.id, booking_url(user, chosen, self.booking_root))

    def _save(self, entry: HostEntry, identity: UserIdentity) -> None:
        with self.database.transaction() as session:
            owner = PlatformUser.by_meetergo_user_id(session, identity.user_id, self.account)
            if owner and owner.external_id != entry.external_id:
                raise NotOnboarded(f"meetergo's user of this e-mail belongs to '{owner.external_id}' already")
            row = PlatformUser.by_external_id(session, entry.external_id, locked=True)
            session.add(_merged_row(row, entry, identity, self.account))


def _merged_row(row: PlatformUser | None, entry: HostEntry, identity: UserIdentity, account: str) -> PlatformUser:
    """Merge the file's values into the row; an existing row keeps what the file does not name."""
    if row and row.meetergo_user_id not in (None, identity.user_id):
        raise NotOnboarded("it is another user of meetergo already: correct its e-mail, or its meetergo_user_id")
    names = {"timezone", "language", "channels"}
    values = {name: getattr(entry, name) for name in (names & entry.model_fields_set if row else names)}
    row = row or PlatformUser(external_id=entry.external_id, account=account)
    for name, value in values.items():
        setattr(row, name, value)
    row.email, row.name = entry.email, entry.name
    row.meetergo_user_id = identity.user_id
    row.meetergo_meeting_type_id = identity.meeting_type_id
    row.booking_url = identity.booking_url or row.booking_url
    return row


def _choose_meeting_type(found: list[MeetingType], entry: HostEntry) -> MeetingType | None:
    """Return the meeting type that the file names, else the first."""
    by_slug = [item for item in found if entry.meeting_slug and item.slug == entry.meeting_slug]
    by_name = [item for item in found if item.name == entry.meeting_type]
    return next(iter([*by_slug, *by_name, *found]), None)
