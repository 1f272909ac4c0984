"""The change feed: every committed change of a booking, once, in one order for all consumers.

A change's id is assigned before its transaction commits, so a consumer that continues after the highest id it has seen
misses changes that commit later with a lower one. So changes are numbered after the commit: `number_changes` gives all
that are visible the number of a batch, one process at a time, and the order is batch, then id. docs/architecture.md
says why transaction ids are not used.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Select, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column

from models.account import is_of
from models.booking import BookingChange
from runtime.bulk import insert_missing
from runtime.contention import in_transaction
from runtime.database import Database, Model, RowsDiscarded, update_rows

NUMBERED_AT_ONCE = 1_000
"""Maximum size of a batch. A long history is numbered batch by batch, as the first consumer reads it."""
FEED_ID = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LIMIT = 2**63


class CursorGone(Exception):
    """The feed no longer has this change: the database was restored, or the booking's rows were deleted."""


class ChangeFeed(Model):
    """The number of the last batch: a single row, inserted on first use. Its lock lets one process number at a time."""

    __tablename__ = "change_feed"

    id: Mapped[int] = mapped_column(primary_key=True)
    last_batch: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True)
class FeedCursor:
    """A position in the feed: the last change that a consumer has.

    Attributes:
        batch: its batch.
        id: its id.
        at: its time in microseconds, to detect another change at the same position after a restore.
    """

    batch: int
    id: int
    at: int

    @classmethod
    def of(cls, change: BookingChange) -> "FeedCursor":
        """Return the position of a numbered change."""
        return cls(change.feed_batch or 0, change.id, (change.at - EPOCH) // MICROSECOND)

    @classmethod
    def parse(cls, text: str) -> "FeedCursor":
        """Parse a cursor that `str` has formatted.

        Raises:
            ValueError: the text is not a cursor.
        """
        try:
            parts = [int(part) for part in urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").split(".")]
        except ValueError:
            parts = []
        if len(parts) != 3 or len(text) > 100 or any(abs(part) >= LIMIT for part in parts) or min(parts[:2]) < 0:
            raise ValueError("this is not a cursor of the change feed")
        return cls(*parts)

    def __str__(self) -> str:
        text = f"{self.batch}.{self.id}.{self.at}"
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")


START = FeedCursor(0, 0, 0)


def has_unnumbered(session: Session) -> bool:
    """Whether a change was committed that has no number yet."""
    return session.scalar(_unnumbered().limit(1)) is not None


def number_changes(database: Database, limit: int = NUMBERED_AT_ONCE) -> int:
    """Number the changes that were committed since the last call, oldest first.

    Args:
        database: the database.
        limit: maximum number of changes.

    Returns:
        The number of changes numbered.

    Raises:
        SQLAlchemyError: the database does not answer, is not writable, or discards the numbers.
    """
    with database.read_only() as session:
        if not has_unnumbered(session):
            return 0
    return in_transaction(database, lambda session: _number(session, limit))


def _number(session: Session, limit: int) -> int:
    insert_missing(session, ChangeFeed, [dict(id=FEED_ID, last_batch=0)], "id")
    feed = session.get_one(ChangeFeed, FEED_ID, with_for_update=True)
    # This statement starts with the lock held, so it sees every change that an earlier batch has seen.
    # Rows are locked in the order of ids, as everywhere.
    ids = session.scalars(_unnumbered().limit(limit).with_for_update(key_share=True)).all()
    if ids:
        feed.last_batch += 1
        numbered = update(BookingChange).where(BookingChange.id.in_(ids)).values(feed_batch=feed.last_batch)
        if update_rows(session, numbered) < len(ids):
            raise RowsDiscarded(BookingChange.__tablename__)
    return len(ids)


def _unnumbered() -> Select[int]:
    """Select the ids in index order: otherwise a planner that expects many rows would scan the table."""
    query = select(BookingChange.id).where(BookingChange.feed_batch.is_(None))
    return query.order_by(BookingChange.feed_batch, BookingChange.id)


def read_changes(session: Session, after: FeedCursor, limit: int, account: str | None) -> Sequence[BookingChange]:
    """Return the numbered changes after a position, of one account or of all, each with its booking as it is now.

    Raises:
        CursorGone: there is no longer a change at this position.
    """
    position = tuple_(BookingChange.feed_batch, BookingChange.id)
    if after != START:
        change = session.get(BookingChange, after.id) if after.id < 2**31 else None
        if change is None or FeedCursor.of(change) != after:
            raise CursorGone
    query = select(BookingChange).where(BookingChange.feed_batch.is_not(None), position > tuple_(after.batch, after.id))
    if account is not None:
        query = query.where(*is_of(BookingChange, account))
    ordered = query.order_by(BookingChange.feed_batch, BookingChange.id).limit(limit)
    return session.scalars(ordered.options(joinedload(BookingChange.booking))).all()


def end_of_feed(session: Session) -> FeedCursor:
    """Return the position of the last numbered change."""
    numbered = select(BookingChange).where(BookingChange.feed_batch.is_not(None))
    last = session.scalar(numbered.order_by(BookingChange.feed_batch.desc(), BookingChange.id.desc()).limit(1))
    return FeedCursor.of(last) if last else START


def last_batch(session: Session) -> int:
    """Return the number of the last batch."""
    return session.scalar(select(ChangeFeed.last_batch).where(ChangeFeed.id == FEED_ID)) or 0
