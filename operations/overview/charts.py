"""The series of the home page's charts: what was received, processed and failed, and how long it took.

Each is counted by an index, over the longest window with at most MAX_COUNTED deliveries. An incomplete count is marked
as such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, String, func, select, type_coerce
from sqlalchemy.orm import Session

from models.attempt import FailedAttempt
from models.delivery import Delivery
from runtime.database import is_postgresql, table_of

MAX_COUNTED = 10_000
"""Maximum number of rows that one chart counts: an index scan of a few milliseconds."""
MAX_TIMED = 1_000
"""Maximum number of deliveries whose time from receipt to commit is measured, newest first."""


@dataclass(frozen=True)
class ChartWindow:
    """A window of the charts.

    Attributes:
        length: its length.
        step: the interval of one point.
        precision: the unit to which times are truncated before they are counted.
    """

    length: timedelta
    step: timedelta
    precision: str


WINDOWS = (
    ChartWindow(timedelta(hours=24), timedelta(minutes=30), "minute"),
    ChartWindow(timedelta(hours=1), timedelta(minutes=1), "minute"),
    ChartWindow(timedelta(minutes=10), timedelta(seconds=10), "second"),
)
TIMED_COLUMNS = [
    table_of(Delivery).c[name] for name in ("received_at", "ended_at", "status", "attempts", "replayed_for")
]
PREFIXES = {"minute": 16, "second": 19}
"""Length of a time as SQLite stores it, up to the minute and up to the second."""


@dataclass(frozen=True)
class CountSeries:
    """The number of rows in each step.

    Attributes:
        numbers: the numbers, oldest first.
        is_complete: whether all were counted; else only the newest.
    """

    numbers: Sequence[int]
    is_complete: bool

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self.numbers)


@dataclass(frozen=True)
class DurationSeries:
    """The 99th percentile of durations in each step.

    Attributes:
        p99: the 99th percentile of each step, oldest first; None where nothing was measured.
        median: the median of all.
        slowest: the 99th percentile of all.
        timed: number of deliveries measured.
    """

    p99: Sequence[timedelta | None]
    median: timedelta | None
    slowest: timedelta | None
    timed: int


@dataclass(frozen=True)
class Charts:
    """The charts of one window.

    Attributes:
        window: the window.
        starts: when each step starts, UTC.
        received: deliveries received.
        processed: deliveries that became `done`.
        failed: failed attempts of deliveries and notifications.
        durations: time from receipt to commit, of deliveries that succeeded at the first attempt.
    """

    window: ChartWindow
    starts: Sequence[datetime]
    received: CountSeries
    processed: CountSeries
    failed: CountSeries
    durations: DurationSeries


def load_charts(session: Session, now: datetime) -> Charts:
    """Count the series in the longest window that holds at most MAX_COUNTED deliveries, else in the shortest."""
    window = next((each for each in WINDOWS if not _holds_too_many(session, each, now)), WINDOWS[-1])
    steps = window.length // window.step
    end = _next_step(now, window.step)
    starts = [end - window.step * (steps - number) for number in range(steps)]
    ended, dead = (
        _counts(session, column, window, starts, *conditions)
        for column, conditions in ((Delivery.ended_at, ()), (Delivery.ended_at, (Delivery.has_status("dead"),)))
    )
    done = [max(0, all_ended - of_dead) for all_ended, of_dead in zip(ended.numbers, dead.numbers, strict=True)]
    return Charts(
        window,
        starts,
        _counts(session, Delivery.received_at, window, starts),
        CountSeries(done, ended.is_complete and dead.is_complete),
        _counts(session, FailedAttempt.at, window, starts),
        _durations(session, window, starts),
    )


def _holds_too_many(session: Session, window: ChartWindow, now: datetime) -> bool:
    times = (Delivery.received_at, Delivery.ended_at)
    within = (select(column).where(column > now - window.length, column <= now) for column in times)
    beyond = (select(each.offset(MAX_COUNTED).limit(1).exists()) for each in within)
    return any(session.scalar(each) for each in beyond)


def _next_step(now: datetime, step: timedelta) -> datetime:
    """Return the end of the step that contains a time."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + ((now - epoch) // step + 1) * step


def _counts(
    session: Session, column: Any, window: ChartWindow, starts: Sequence[datetime], *conditions: Any
) -> CountSeries:
    found = select(column.label("at")).where(column >= starts[0], column < starts[-1] + window.step, *conditions)
    newest = found.order_by(column.desc()).limit(MAX_COUNTED).subquery()
    truncated: Any
    if is_postgresql(session):
        truncated = func.date_trunc(window.precision, newest.c.at, type_=DateTime(timezone=True)).label("moment")
    else:
        truncated = func.substr(newest.c.at, 1, PREFIXES[window.precision], type_=String()).label("moment")
    rows = session.execute(select(truncated, func.count()).group_by("moment")).all()
    numbers = [0] * len(starts)
    for moment, number in rows:
        numbers[_step_of(_aware(moment), window, starts)] += number
    return CountSeries(numbers, sum(numbers) < MAX_COUNTED)


def _aware(moment: Any) -> datetime:
    at = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _step_of(at: datetime, window: ChartWindow, starts: Sequence[datetime]) -> int:
    return min(max((at - starts[0]) // window.step, 0), len(starts) - 1)


def _durations(session: Session, window: ChartWindow, starts: Sequence[datetime]) -> DurationSeries:
    ended = select(*TIMED_COLUMNS).where(Delivery.ended_at >= starts[0], Delivery.ended_at < starts[-1] + window.step)
    newest = ended.order_by(Delivery.ended_at.desc()).limit(MAX_TIMED).subquery().c
    is_first_try = (newest.status == "done", newest.attempts == 0, newest.replayed_for.is_(None))
    # As the driver gives them, on SQLite without a zone: to convert each would take most of the chart's time.
    times = [type_coerce(column, DateTime()) for column in (newest.received_at, newest.ended_at)]
    rows: Sequence[Any] = session.execute(select(*times).where(*is_first_try)).all()
    first = starts[0] if rows and rows[0][1].tzinfo else starts[0].replace(tzinfo=None)
    by_step: dict[int, list[timedelta]] = {}
    for received_at, ended_at in rows:
        by_step.setdefault((ended_at - first) // window.step, []).append(max(ended_at - received_at, timedelta(0)))
    every = sorted(took for times in by_step.values() for took in times)
    return DurationSeries(
        [_percentile(by_step, number) for number in range(len(starts))],
        every[len(every) // 2] if every else None,
        every[(len(every) * 99) // 100] if every else None,
        len(every),
    )


def _percentile(by_step: Mapping[int, list[timedelta]], number: int) -> timedelta | None:
    times = sorted(by_step.get(number, ()))
    return times[(len(times) * 99) // 100] if times else None
