"""The rate limit: N requests per minute for each key, plus a burst (rate-limiting page)."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class RateLimit:
    """Limits of the plan."""

    per_minute: int = 100
    burst: int = 200


class TokenBuckets:
    """One token bucket for each key, initially full."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._levels: dict[str, tuple[float, datetime]] = {}

    def take(self, key: str, now: datetime) -> float:
        """Take a token.

        Returns:
            0, or the seconds until a token is available.
        """
        level, then = self._levels.get(key, (float(self._limit.burst), datetime.min.replace(tzinfo=UTC)))
        per_second = self._limit.per_minute / 60
        level = min(self._limit.burst, level + (now - then).total_seconds() * per_second)
        missing = max(0.0, 1 - level)
        self._levels[key] = (level if missing else level - 1, now)
        return missing / per_second
