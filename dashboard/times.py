"""Times in the reader's zone, with UTC on hover. The zone is in a cookie, set by a script or by the reader."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from babel.dates import format_datetime
from flask import g, request
from markupsafe import Markup

from dashboard.i18n import _, language
from models.platform_user import find_zone

ZONE_COOKIE = "zone"
PATTERNS = {"en": "EEE d MMM, HH:mm:ss", "de": "EEE d. MMM, HH:mm:ss"}
YEAR_PATTERNS = {"en": "d MMM yyyy, HH:mm", "de": "d. MMM yyyy, HH:mm"}
RECENT = timedelta(days=180)
"""Times further away than this show the year."""


def now() -> datetime:
    """Return the time of this request, UTC."""
    if "now" not in g:
        g.now = datetime.now(UTC)
    found: datetime = g.now
    return found


def zone_name() -> str:
    """Return the name of the reader's zone."""
    name = request.cookies.get(ZONE_COOKIE, "UTC")
    return name if find_zone(name) else "UTC"


def local(at: datetime) -> str:
    """Format a time in the reader's zone."""
    patterns = PATTERNS if abs(at - now()) < RECENT else YEAR_PATTERNS
    return _formatted(at, patterns[language()], zone_name(), language())


@lru_cache(maxsize=10_000)
def _formatted(at: datetime, pattern: str, zone: str, locale: str) -> str:
    """Format a time. Cached, because formatting would take most of a page's rendering time."""
    try:
        return format_datetime(at, pattern, tzinfo=find_zone(zone), locale=locale)
    except OverflowError:  # in this zone it would be in the year 0 or 10000
        return format_datetime(at, pattern, tzinfo=UTC, locale=locale)


def moment(at: datetime | None) -> Markup | str:
    """Render a time: in the reader's zone, in UTC on hover."""
    if at is None:
        return "–"  # noqa: RUF001 - the typographic dash is meant
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M:%S} UTC", local(at)
    )


def age(at: datetime | None) -> str:
    """Format a time relative to now."""
    if at is None:
        return "–"  # noqa: RUF001 - the typographic dash is meant
    length = abs(now() - at)
    words = span(length)
    return _("%(span)s ago", span=words) if at <= now() else _("in %(span)s", span=words)


def span(length: timedelta) -> str:
    """Format an approximate duration."""
    seconds = int(length.total_seconds())
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 6000:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return _("%(days)s days", days=seconds // 86400)
