"""HostResolver: whose booking it is. Each host and each meeting type is looked up once in a transaction."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.platform_user import PlatformUser


class HostResolver:
    """Finds platform users by whom and what meetergo names.

    Args:
        session: reads.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._hosts: dict[str, PlatformUser | None] = {}
        self._types: dict[str, PlatformUser | None] = {}

    def prefetch(self, host_ids: Iterable[str]) -> None:
        """Reads many at once, so that asking for each is quick. What is no id is left out."""
        wanted = {host_id for host_id in host_ids if isinstance(host_id, str)} - self._hosts.keys()
        if wanted:
            self._hosts |= dict.fromkeys(wanted)
            query = select(PlatformUser).where(PlatformUser.meetergo_user_id.in_(wanted))
            self._hosts |= {str(user.meetergo_user_id): user for user in self._session.scalars(query)}

    def known_hosts(self, host_ids: Sequence[str], owner_id: int | None) -> list[PlatformUser]:
        """All hosts whom we know, the owner first, then by their ids: each once."""
        self.prefetch(host_ids)
        owner = self._session.get(PlatformUser, owner_id) if owner_id else None
        others = sorted((user for host_id in host_ids if (user := self._hosts[host_id])), key=lambda user: user.id)
        return list(dict.fromkeys([owner, *others] if owner else others))

    def resolve(self, host_ids: Sequence[str], meeting_type_id: str | None) -> PlatformUser | None:
        """The first host whom we know, else the only owner of the meeting type."""
        self.prefetch(host_ids)
        known = (self._hosts[host_id] for host_id in host_ids)
        return next((user for user in known if user), None) or self._owner_of_meeting_type(meeting_type_id)

    def _owner_of_meeting_type(self, meeting_type_id: str | None) -> PlatformUser | None:
        if not meeting_type_id:
            return None
        if meeting_type_id not in self._types:
            condition = PlatformUser.meetergo_meeting_type_id == meeting_type_id
            self._types[meeting_type_id] = PlatformUser.get_unique(self._session, condition)
        return self._types[meeting_type_id]
