"""The rate limit: so many requests a minute for each key, and a burst on top (rate-limiting page)."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class RateLimit:
    """The numbers."""

    per_minute: int = 100
    burst: int = 200


class TokenBuckets:
    """One bucket of tokens for each key, full at first."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._levels: dict[str, tuple[float, datetime]] = {}

    def take(self, key: str, now: datetime) -> float:
        """Takes a token.

        Returns:
            0, or if there is none the seconds until there is one.
        """
        level, then = self._levels.get(key, (float(self._limit.burst), datetime.min.replace(tzinfo=UTC)))
        per_second = self._limit.per_minute / 60
        level = min(self._limit.burst, level + (now - then).total_seconds() * per_second)
        missing = max(0.0, 1 - level)
        self._levels[key] = (level if missing else level - 1, now)
        return missing / per_second
