"""Causes: what rows failed of, counted, in words that name nobody."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.retryable import Retryable

FAILS_AGAIN_AFTER = 2
"""A row that failed so often and waits for another try is not just unlucky."""
MOST_CAUSES = 3
MOST_ERRORS = 200
"""Different errors that are looked at for the most frequent causes."""
LONGEST_CAUSE = 100


@dataclass(frozen=True)
class Causes:
    """What rows failed of.

    Attributes:
        rows: how many failed.
        most_frequent: cause and how many rows have it, the most frequent first; at most `MOST_CAUSES`.
    """

    rows: int = 0
    most_frequent: Sequence[tuple[str, int]] = ()

    @classmethod
    def of(cls, session: Session, rows: type[Retryable], *those: ColumnElement[bool]) -> "Causes":
        """Counts the causes of some rows. What an error says after its first colon may quote a row: it is left out."""
        number = func.count()
        query = select(rows.last_error, number).where(*those).group_by(rows.last_error)
        found = session.execute(query.order_by(number.desc()).limit(MOST_ERRORS)).all()
        if len(found) < MOST_ERRORS:
            total = sum(times for _, times in found)
        else:
            total = session.scalar(select(number).select_from(rows).where(*those)) or 0
        counted = Counter[str]()
        for error, times in found:
            if error:
                counted[error.partition(":")[0][:LONGEST_CAUSE]] += times
        return cls(total, counted.most_common(MOST_CAUSES))

    @classmethod
    def of_failing_again(cls, session: Session, rows: type[Retryable]) -> "Causes":
        """Of rows that wait for another try after several that failed."""
        return cls.of(
            session,
            rows,
            rows.has_status("pending"),
            rows.attempts >= FAILS_AGAIN_AFTER,
            rows.last_error.is_not(None),
        )

    @classmethod
    def of_dead(cls, session: Session, rows: type[Retryable]) -> "Causes":
        """Of rows that need a person."""
        return cls.of(session, rows, rows.has_status("dead"))

    def in_words(self) -> str:
        """Such as "KeyError 48, the body is not JSON 2"; empty if nothing is known."""
        if len(self.most_frequent) == 1 and self.most_frequent[0][1] == self.rows:
            return self.most_frequent[0][0]
        return ", ".join(f"{cause} {times}" for cause, times in self.most_frequent)
