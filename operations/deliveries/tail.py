"""Follow the timeline: each entry once, including those that were committed late."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from models import timeline
from models.timeline import TimelineEntry

INITIAL_ENTRIES = 10
OVERLAP = timedelta(seconds=30)
"""How long after its time an entry may be committed: its time is the start of its transaction."""
MAX_ADVANCE = timedelta(seconds=3)
"""Maximum advance per read: webhooks that waited in Redis while the database was down are stored late."""


class Tail:
    """Reads new timeline entries.

    Args:
        start: time of the first entry; None to begin with the last few entries.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start
        self._position: datetime | None = None
        self._seen: set[tuple[object, ...]] = set()

    def read(self, session: Session, now: datetime) -> list[TimelineEntry]:
        """Return entries not read before, in order. The first call sets the position."""
        if self._position is None:
            return self._begin(session, now)
        found = timeline.since(session, self._position)
        new = [entry for entry in found if entry.identity not in self._seen]
        self._seen = {entry.identity for entry in found}
        self._position = max(self._position, min(self._position + MAX_ADVANCE, now - OVERLAP))
        return new

    def _begin(self, session: Session, now: datetime) -> list[TimelineEntry]:
        recent = timeline.latest(session, INITIAL_ENTRIES)
        start = self._start or (recent[0].at if recent else now - OVERLAP)
        found = timeline.since(session, start)
        self._seen = {entry.identity for entry in found}
        self._position = max(start, now - OVERLAP)
        return found if self._start else found[-INITIAL_ENTRIES:]
