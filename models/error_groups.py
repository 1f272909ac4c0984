"""Error groups: the causes of failed rows, counted and without personal data."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, literal_column, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.retryable import Retryable

REPEATED_FAILURE_ATTEMPTS = 2
"""Attempts after which a pending row counts as failing repeatedly."""
MAX_GROUPS = 3
MAX_DISTINCT_ERRORS = 200
"""Number of distinct errors that are grouped by cause."""
MAX_GROUP_LENGTH = 100
SAMPLE_SIZE = 200
"""Number of rows that are read for a page, so that it takes no longer for a million failed rows."""


@dataclass(frozen=True)
class ErrorGroups:
    """The most frequent causes of failures among some rows.

    Attributes:
        rows: number of failed rows.
        most_frequent: cause and number of rows, most frequent first; at most `MAX_GROUPS`.
        read: number of rows whose causes were counted; None for all.
    """

    rows: int = 0
    most_frequent: Sequence[tuple[str, int]] = ()
    read: int | None = None

    @classmethod
    def collect(cls, session: Session, rows: type[Retryable], *conditions: ColumnElement[bool]) -> "ErrorGroups":
        """Count the causes of some rows: the errors up to the first colon, as the rest may quote a row's data."""
        count = func.count()
        query = select(rows.last_error, count).where(*conditions).group_by(rows.last_error)
        errors = session.execute(query.order_by(count.desc()).limit(MAX_DISTINCT_ERRORS)).all()
        if len(errors) < MAX_DISTINCT_ERRORS:
            total = sum(number for _, number in errors)
        else:
            total = session.scalar(select(count).select_from(rows).where(*conditions)) or 0
        groups = Counter[str]()
        for error, number in errors:
            if error:
                groups[error.partition(":")[0][:MAX_GROUP_LENGTH]] += number
        return cls(total, groups.most_common(MAX_GROUPS))

    @classmethod
    def of_repeated_failures(cls, session: Session, rows: type[Retryable], limit: int | None = None) -> "ErrorGroups":
        """Collect the causes of pending rows that failed repeatedly; with a limit, see `_sample`."""
        is_repeated = (rows.has_status("pending"), rows.attempts >= REPEATED_FAILURE_ATTEMPTS)
        if limit is None:
            return cls.collect(session, rows, *is_repeated, rows.last_error.is_not(None))
        return cls._sample(session, rows, limit, *is_repeated)

    @classmethod
    def of_dead(cls, session: Session, rows: type[Retryable], limit: int | None = None) -> "ErrorGroups":
        """Collect the causes of dead rows; with a limit, see `_sample`."""
        if limit is None:
            return cls.collect(session, rows, rows.has_status("dead"))
        return cls._sample(session, rows, limit, rows.has_status("dead"))

    @classmethod
    def _sample(
        cls, session: Session, rows: type[Retryable], limit: int, *conditions: ColumnElement[bool]
    ) -> "ErrorGroups":
        """Count up to `limit` + 1 rows, by an index alone, and the causes of up to SAMPLE_SIZE, which are read."""
        counted = select(literal_column("1")).select_from(rows).where(*conditions).limit(limit + 1).subquery()
        number = session.scalar(select(func.count()).select_from(counted)) or 0
        errors = session.scalars(select(rows.last_error).where(*conditions).limit(SAMPLE_SIZE)).all() if number else ()
        groups = Counter(error.partition(":")[0][:MAX_GROUP_LENGTH] for error in errors if error)
        return cls(number, groups.most_common(MAX_GROUPS), len(errors))

    def summary(self) -> str:
        """Return a text such as "KeyError 48, the body is not JSON 2", with percentages if not all rows were read.

        It is empty if nothing is known.
        """
        read = self.rows if self.read is None else self.read
        if len(self.most_frequent) == 1 and self.most_frequent[0][1] == read:
            return self.most_frequent[0][0]
        if read < self.rows:
            return ", ".join(f"{group} {100 * number // read} %" for group, number in self.most_frequent)
        return ", ".join(f"{group} {number}" for group, number in self.most_frequent)
