"""The tail: happenings as they come, each once, those that were committed late as well."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from models import timeline
from models.happening import TimelineEntry

FEW = 10
OVERLAP = timedelta(seconds=30)
"""A happening has the time of its transaction's work; so much later it may be committed."""
CATCHING_UP = timedelta(seconds=3)
"""How far a read moves on at most: bodies that waited in Redis while the database was away come late."""


class Tail:
    """Reads what is new.

    Args:
        start: from when on; None to begin with the last few happenings.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start
        self._from: datetime | None = None
        self._seen: set[tuple[object, ...]] = set()

    def read(self, session: Session, now: datetime) -> list[TimelineEntry]:
        """What was not read before, in order. The first read begins; each other goes on."""
        if self._from is None:
            return self._begin(session, now)
        found = timeline.since(session, self._from)
        new = [happening for happening in found if happening.identity not in self._seen]
        self._seen = {happening.identity for happening in found}
        self._from = max(self._from, min(self._from + CATCHING_UP, now - OVERLAP))
        return new

    def _begin(self, session: Session, now: datetime) -> list[TimelineEntry]:
        few = timeline.latest(session, FEW)
        start = self._start or (few[0].at if few else now - OVERLAP)
        found = timeline.since(session, start)
        self._seen = {happening.identity for happening in found}
        self._from = max(start, now - OVERLAP)
        return found if self._start else found[-FEW:]
