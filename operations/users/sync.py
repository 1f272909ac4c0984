"""Sync platform users with meetergo's users, matched by id, else by e-mail."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from meetergo.api.errors import BadResponse, Rejected, Unauthorised
from meetergo.api.schemas import User
from models.platform_user import PlatformUser
from operations.users.directory import Directory, booking_url, full_name, normalised
from runtime.database import Database

Kind = Literal["mapped", "moved", "completed", "differs", "absent", "ambiguous", "vanished", "unread"]

NEEDS_ATTENTION: tuple[Kind, ...] = ("ambiguous", "vanished", "unread")


@dataclass(frozen=True)
class SyncFinding:
    """A finding about one platform user.

    Attributes:
        kind: kind of finding.
        external_id: the platform user's id.
        message: the finding for people.
        changes: column -> new value.
    """

    kind: Kind
    external_id: str
    message: str
    changes: dict[str, str] = field(default_factory=dict, repr=False)

    def apply(self, database: Database) -> None:
        """Write the changes, if any."""
        if self.changes:
            with database.transaction() as session:
                row = PlatformUser.by_external_id(session, self.external_id, locked=True)
                for name, value in self.changes.items() if row else ():
                    setattr(row, name, value)


@dataclass(frozen=True)
class UserSync:
    """Compares platform users with meetergo's users.

    Attributes:
        directory: meetergo's users.
        rows: all platform users.
        names: whether to adopt meetergo's names where they differ.
        booking_root: see `directory.booking_url`.
    """

    directory: Directory
    rows: Sequence[PlatformUser]
    names: bool = False
    booking_root: str | None = None

    def findings(self) -> Iterator[SyncFinding]:
        """Yield the findings in the order of the rows.

        Raises:
            ApiError: meetergo does not answer, or not to this key.
        """
        listed, emails = self.directory.all(), Counter(normalised(row.email or "") for row in self.rows)
        taken = {row.meetergo_user_id for row in self.rows}
        for row in self.rows:
            try:
                if row.meetergo_user_id in listed:
                    yield from self._check_mapped(row, listed[row.meetergo_user_id])
                else:
                    yield self._match_by_email(row, emails, taken)
            except Unauthorised:
                raise
            except (Rejected, BadResponse) as error:
                yield SyncFinding("unread", row.external_id, f"its meeting types cannot be read: {error}")

    def unmatched(self, findings: Sequence[SyncFinding]) -> list[User]:
        """Return meetergo users without a platform user once the findings are applied."""
        known = {row.meetergo_user_id for row in self.rows}
        known |= {finding.changes.get("meetergo_user_id") for finding in findings}
        return [user for user in self.directory.all().values() if user.id not in known]

    def _match_by_email(self, row: PlatformUser, emails: Counter[str], taken: set[str | None]) -> SyncFinding:
        email = normalised(row.email or "")
        found = self.directory.by_email(email) if email else []
        free = [user for user in found if user.id not in taken]
        if len(found) > 1 or (free and emails[email] > 1):
            message = "several users have its e-mail: set meetergo_user_id yourself"
            return SyncFinding("ambiguous", row.external_id, message)
        if free and row.meetergo_user_id:
            return SyncFinding(
                "moved", row.external_id, "is another user of meetergo now", self._mapping_of(row, free[0])
            )
        if free:
            return SyncFinding("mapped", row.external_id, "is a user of meetergo", self._mapping_of(row, free[0]))
        if row.meetergo_user_id:
            return SyncFinding(
                "vanished", row.external_id, "its user is no longer in meetergo: `users forget` unmaps it"
            )
        return SyncFinding("absent", row.external_id, "is not in meetergo: `users onboard` creates a user")

    def _check_mapped(self, row: PlatformUser, user: User) -> Iterator[SyncFinding]:
        if missing := self._missing_columns(row, user):
            yield SyncFinding("completed", row.external_id, f"gets {', '.join(missing)}", missing)
        name = full_name(user)
        if row.name and name and row.name != name:
            message = "gets meetergo's name" if self.names else "has another name in meetergo: --names adopts it"
            yield SyncFinding("differs", row.external_id, message, {"name": name} if self.names else {})

    def _missing_columns(self, row: PlatformUser, user: User) -> dict[str, str]:
        known = {"email": user.email, "name": full_name(user)}
        if not row.meetergo_meeting_type_id or (self.booking_root and not row.booking_url):
            known |= self._meeting_type_columns(user, row.meetergo_meeting_type_id)
        return {name: value for name, value in known.items() if value and not getattr(row, name)}

    def _mapping_of(self, row: PlatformUser, user: User) -> dict[str, str]:
        bookable = self._meeting_type_columns(user, None)
        known = {"meetergo_user_id": user.id, **bookable, "name": None if row.name else full_name(user)}
        return {name: value for name, value in known.items() if value}

    def _meeting_type_columns(self, user: User, meeting_type_id: str | None) -> dict[str, str | None]:
        found = self.directory.meeting_types(user.id)
        chosen = next((item for item in found if meeting_type_id in (None, item.id)), None)
        if chosen is None:
            return {}
        url = booking_url(user, chosen, self.booking_root)
        return {"meetergo_meeting_type_id": chosen.id, "booking_url": url}
