"""A silence is reported when it is much longer than usual for its hours, and neither at night nor at the weekend."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from sqlalchemy import insert

from models.account import DEFAULT
from models.delivery import Delivery
from models.reconciliation import Reconciliation
from runtime.database import Database
from tests.worker.harness import Harness
from worker.maintenance.arrivals import ArrivalWatch, learn_pattern
from worker.maintenance.observation import Observation
from worker.maintenance.silence import HOUR, WEEK, WeeklyPattern

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOLIDAY = date(2026, 3, 20)
"""A Friday."""
Rate = Callable[[datetime], float]


def directory(per_week: float) -> Rate:
    """Return the chance of an hour to bring a webhook: busy by day, less in the evening and at the weekend."""

    def chance(at: datetime) -> float:
        by_time = 1.0 if 7 <= at.hour < 17 else 0.3 if 17 <= at.hour < 21 else 0.01
        return 1 - (1 - min(0.999, per_week / 60)) ** (by_time * (1.0 if at.weekday() < 5 else 0.2))

    return chance


FEW, MANY = directory(8), directory(3_000)


def busy_hours(rate: Rate, weeks: int, *, holiday: date | None = None, seed: int = 1) -> list[datetime]:
    """Return the hours with a webhook, of some weeks."""
    rng = Random(seed)
    hours = [MONDAY + HOUR * number for number in range(WEEK // HOUR * weeks)]
    return [hour for hour in hours if rng.random() < rate(hour) and hour.date() != holiday]


def reported(pattern: WeeklyPattern, last: datetime, *, confirmed: bool = False) -> timedelta:
    """Return how long after the last webhook a silence is reported."""
    after = HOUR
    while not pattern.is_unusual(last, last + after, confirmed=confirmed):
        after += HOUR
    return after


def false_alarms(busy: list[datetime], weeks: int) -> Iterator[datetime]:
    """Yield the webhooks that were reported as missing before they arrived, with what was known by then."""
    for last, after in pairwise(busy):
        if last - MONDAY > weeks * WEEK and after - last > 3 * HOUR:
            known = [hour for hour in busy if last - weeks * WEEK < hour <= last]
            if WeeklyPattern.learn(known, weeks).is_unusual(last, after, confirmed=False):
                yield after


def at(day: int, hour: int) -> datetime:
    """Return an hour of the fifth week; Monday is 0."""
    return MONDAY + 4 * WEEK + timedelta(days=day, hours=hour)


@pytest.mark.parametrize(("rate", "weeks"), [(FEW, 26), (MANY, 7)], ids=["few", "many"])
def test_no_night_weekend_or_chance_is_reported(rate: Rate, weeks: int) -> None:
    assert list(false_alarms(busy_hours(rate, weeks), 4)) == []


def test_a_busy_directory_that_falls_silent_by_day_is_reported_within_hours() -> None:
    pattern = WeeklyPattern.learn(busy_hours(MANY, 4), 4)
    assert reported(pattern, at(1, 9)) <= 7 * HOUR
    evening = reported(pattern, at(1, 20))
    assert at(2, 7) < at(1, 20) + evening <= at(2, 15)


def test_a_weekend_at_which_nothing_is_usual_is_not_reported() -> None:
    pattern = WeeklyPattern.learn([moment.replace(minute=0) for moment in OFFICE_HOURS], 4)
    assert at(7, 9) < at(4, 16) + reported(pattern, at(4, 16)) <= at(7, 15)


def test_a_directory_with_few_bookings_is_reported_after_days() -> None:
    pattern = WeeklyPattern.learn(busy_hours(FEW, 4), 4)
    assert timedelta(days=4) < reported(pattern, at(1, 9)) < timedelta(days=21)


def test_a_holiday_among_the_weeks_before_hides_no_outage_and_causes_no_alarm() -> None:
    busy = busy_hours(MANY, 7, holiday=HOLIDAY)
    assert [alarm for alarm in false_alarms(busy, 4) if alarm.date() > HOLIDAY + timedelta(days=3)] == []
    known = [hour for hour in busy if hour < at(0, 0)]
    assert reported(WeeklyPattern.learn(known, 4), at(1, 9)) < timedelta(days=2)


def test_a_holiday_that_reconcile_confirms_is_not_reported_but_a_silent_week_is() -> None:
    pattern = WeeklyPattern.learn(busy_hours(MANY, 4), 4)
    thursday_evening, monday_noon = at(3, 18), at(7, 12)
    assert thursday_evening + reported(pattern, thursday_evening) < at(4, 17)
    confirmed = thursday_evening + reported(pattern, thursday_evening, confirmed=True)
    assert monday_noon < confirmed < at(10, 0)
    few = WeeklyPattern.learn(busy_hours(FEW, 4), 4)
    assert thursday_evening + reported(few, thursday_evening) > monday_noon


def test_whole_weeks_of_silence_add_up() -> None:
    pattern = WeeklyPattern([float(hour == 10) for hour in range(168)], 0.0)
    assert [pattern.of(at(0, 10), at(0, 10) + WEEK * weeks + HOUR) for weeks in (0, 1, 2)] == [0.0, 1.0, 2.0]
    assert [pattern.of(at(0, 9), at(0, 9) + WEEK * weeks + HOUR) for weeks in (0, 1)] == [0.0, 1.0]


# --- from the table -------------------------------------------------------------------------------------------------


def store(database: Database, times: list[datetime], source: str = "webhook") -> None:
    rows = [
        dict(
            id=f"{source}-{number}-{moment.timestamp()}",
            account="default",
            source=source,
            body=b"x",
            received_at=moment,
            due_at=moment,
            ended_at=moment,
            status="done",
            attempts=0,
        )
        for number, moment in enumerate(times)
    ]
    with database.transaction() as session:
        session.execute(insert(Delivery), rows)


def silence(harness: Harness, now: datetime, watch: ArrivalWatch | None = None) -> Observation | None:
    return (watch or ArrivalWatch(DEFAULT)).observe(harness.services, now).get("webhooks_silent")


OFFICE_HOURS = [
    MONDAY + timedelta(days=day, hours=hour, minutes=7)
    for day in range(28)
    for hour in range(7, 17)
    if (MONDAY + timedelta(days=day)).weekday() < 5
]
FRIDAY_EVENING = at(-3, 16) + timedelta(minutes=7)
"""The last webhook of those hours."""


def test_it_is_learnt_from_the_webhooks_of_the_last_weeks(harness: Harness) -> None:
    database = harness.services.database
    several = [moment + timedelta(minutes=minutes) for moment in OFFICE_HOURS[-10:] for minutes in (1, 2)]
    store(database, [*OFFICE_HOURS, OFFICE_HOURS[0] - timedelta(days=40)])
    store(database, several, "webhook")
    store(database, [at(0, 8)], "reconcile")
    store(database, [at(30, 8)])
    last = max(several)
    with database.read_only() as session:
        assert learn_pattern(session, last, DEFAULT) == WeeklyPattern.learn(
            [moment.replace(minute=0) for moment in OFFICE_HOURS if moment > last - 4 * WEEK], 4
        )
    watch = ArrivalWatch(DEFAULT)
    assert silence(harness, at(0, 9), watch) == Observation(False)
    assert silence(harness, at(0, 16), watch) == Observation(
        True, {"since": last.isoformat(timespec="seconds"), "confirmed": False}
    )
    store(database, [at(0, 16)], "webhook")
    assert silence(harness, at(0, 17), watch) == Observation(False)


def test_nothing_is_reported_while_too_little_is_known(harness: Harness) -> None:
    assert silence(harness, at(0, 16)) is None
    store(harness.services.database, OFFICE_HOURS[-60:])
    assert silence(harness, at(0, 16)) is None
    assert silence(harness, FRIDAY_EVENING + HOUR) == Observation(False)


def test_reconcile_confirms_a_silence_only_while_it_reads_and_finds_nothing(harness: Harness) -> None:
    store(harness.services.database, OFFICE_HOURS)
    now = at(0, 16)

    def run(ago: timedelta, **found: object) -> None:
        with harness.services.database.transaction() as session:
            session.add(Reconciliation(**{"started_at": now - ago, "ended_at": now - ago, "hosts": 3, **found}))

    run(timedelta(hours=3))
    assert silence(harness, now).holds  # type: ignore[union-attr] # it is known
    run(timedelta(minutes=10), error="meetergo did not answer")
    assert silence(harness, now).holds  # type: ignore[union-attr] # as above
    run(timedelta(minutes=5))
    assert silence(harness, now) == Observation(False)
    run(timedelta(minutes=4), undelivered=1)
    assert silence(harness, now).holds  # type: ignore[union-attr] # as above
