"""The recorder: everything that one change brings with it, in the transaction that made it."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from models.booking import BookingChange
from worker.announcer import Announcer
from worker.hook import Hook


@dataclass(frozen=True)
class Recorder:
    """Records changes.

    Attributes:
        announcer: writes the news that a change owes.
        hook: the platform's function, if it has one.
    """

    announcer: Announcer
    hook: Hook | None

    def record(self, session: Session, change: BookingChange, delivery_id: str | None = None) -> int:
        """Keeps the change, calls the platform's hook, writes what is owed.

        Returns:
            How many notifications are new.
        """
        change.delivery_id = delivery_id
        session.add(change)
        session.flush()
        if self.hook:
            self.hook(session, change.booking, change)
        return self.announcer.announce(session, change)
