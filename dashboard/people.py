"""Personal data on pages: masked, unless an operator with the role has revealed it."""

from datetime import UTC, datetime
from typing import Any

from flask import g
from markupsafe import Markup

from dashboard.i18n import _
from dashboard.times import moment
from operations.redact import EMAIL, MASKED, mask_people, mask_text, redact, redact_text

TIME_NAMES = frozenset({"starts_at", "ends_at", "as_of", "created_at", "updated_at"})
MAX_COMPACT = 100
MAX_RECIPIENT = 60


def reveal() -> None:
    """Show personal data on this page. The caller has checked the role and recorded the act."""
    g.is_revealed = True


def is_revealed() -> bool:
    """Whether this page shows personal data."""
    return bool(g.get("is_revealed"))


def masked(content: Any, name: str = "") -> Any:
    """Mask personal data in a JSON value; secrets are always masked."""
    return redact(content) if is_revealed() else mask_people(content, name)


def masked_text(text: str | None) -> str:
    """Mask personal data in an error."""
    if not text:
        return ""
    return redact_text(text) if is_revealed() else mask_text(text)


def masked_recipient(recipient: str) -> str:
    """Mask the local part of an e-mail address, and truncate a long recipient."""
    shown = recipient if is_revealed() else EMAIL.sub(lambda found: f"{MASKED}@{found[1]}", recipient)
    return shown if len(shown) <= MAX_RECIPIENT else f"{shown[:MAX_RECIPIENT]}…"


def compact(name: str, content: Any) -> Markup | str:
    """Format a column's value in one line. A list of people begins with their number."""
    if content is None or content in ("", [], {}):
        return _("none")
    if name in TIME_NAMES and (at := _time(content)):
        return moment(at)
    text = _compact(name, content)
    return text if len(text) <= MAX_COMPACT else f"{text[:MAX_COMPACT]}…"


def _time(content: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(content))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _compact(name: str, content: Any) -> str:
    shown = masked(content, name)
    if isinstance(content, list) and all(isinstance(each, dict) for each in content):
        names = [str(each.get("fullname") or each.get("email") or MASKED) for each in shown]
        return f"{len(content)}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
    if isinstance(content, list):
        return ", ".join(str(each) for each in shown)
    if isinstance(shown, dict):
        return ", ".join(f"{key}: {value}" for key, value in list(shown.items())[:10])
    return str(shown)
