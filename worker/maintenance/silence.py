"""Silence: whether no webhook has arrived for much longer than usual, by the hours of the week.

Each hour of the week has a surprise: how unlikely it is to pass without a webhook, as a negative logarithm. A night
adds nearly nothing, and a busy hour up to 3. A silence is unusual when its hours add up to more than chance explains,
and to more than the longest silence of the weeks before.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log

HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
HOURS = WEEK // HOUR
MIN_SURPRISE = 12.0
"""A silence below it counts as chance: 1 in e^12, or 160,000. Five busy hours without a webhook exceed it."""
MARGIN = 1.5
"""Factor by which an unusual silence exceeds the longest one of the weeks before."""
PRIOR = 3
"""Weight of the estimate from weekday and time of day, in weeks of observations of the hour itself."""
MAX_CHANCE = 0.95
CONFIRMED_DAYS = 3
"""A silence that reconcile confirms, such as a holiday, is reported after this many usual days."""


@dataclass(frozen=True)
class WeeklyPattern:
    """When webhooks usually arrive.

    Attributes:
        surprise: surprise of each hour of the week, Monday 0:00 UTC first.
        longest: the surprise of the longest silence in the weeks that this was learnt from.
    """

    surprise: Sequence[float]
    longest: float

    @classmethod
    def learn(cls, busy: Sequence[datetime], weeks: int) -> "WeeklyPattern":
        """Learn from the hours with a webhook, oldest first, of some whole weeks.

        The chance of an hour follows from the same hour in each week, and from its weekday and its time of day, which
        have more examples.
        """
        by_slot = Counter(_slot(hour) for hour in busy)
        by_day = Counter(hour.weekday() for hour in busy)
        by_time = Counter(hour.hour for hour in busy)
        surprise = [
            -log(1 - _chance(by_slot[slot], by_day[slot // 24] * by_time[slot % 24] / len(busy), weeks))
            for slot in range(HOURS)
        ]
        pattern = cls(surprise, 0.0)
        return cls(surprise, max(map(pattern.of, busy, busy[1:]), default=0.0))

    def of(self, last: datetime, until: datetime) -> float:
        """Return the surprise of a silence: of the whole hours between the last webhook's hour and that of `until`."""
        hours = (_hour(until) - _hour(last)) // HOUR - 1
        whole_weeks, rest = divmod(max(0, hours), HOURS)
        first = _slot(last) + 1
        return whole_weeks * sum(self.surprise) + sum(self.surprise[(first + each) % HOURS] for each in range(rest))

    def is_unusual(self, last: datetime, now: datetime, *, confirmed: bool) -> bool:
        """Whether a silence is much longer than usual.

        Args:
            last: when the last webhook arrived.
            now: the time, UTC.
            confirmed: whether meetergo has no booking that a webhook should have reported.
        """
        limit = max(MIN_SURPRISE, MARGIN * self.longest)
        if confirmed:
            limit = max(limit, CONFIRMED_DAYS * sum(self.surprise) / 7)
        return self.of(last, now) > limit


def _chance(seen: int, expected: float, weeks: int) -> float:
    return min(MAX_CHANCE, (seen + PRIOR * min(1.0, expected / weeks)) / (weeks + PRIOR))


def _slot(moment: datetime) -> int:
    return moment.weekday() * 24 + moment.hour


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
