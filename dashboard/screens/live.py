"""Live: the latest events. The page polls for entries, and gets 204 while there are no new ones."""

from hashlib import sha256

from flask import Response, make_response, request

from dashboard.access import ScreenBlueprint
from dashboard.i18n import N_
from dashboard.page_size import most_rows
from dashboard.pages import render
from dashboard.stores import current
from models import timeline
from models.timeline import TimelineEntry

screen = ScreenBlueprint("live", N_("Live"))

ENTRIES_SHOWN = 40


@screen.page("/live")
def list_all() -> Response:
    """Show the latest entries of all timelines, the newest first."""
    entries = _entries()
    return _render("live/list.html", entries)


@screen.page("/live/entries")
def entries() -> Response:
    """Return the entries without the page around them; 204 if `after` is their digest."""
    found = _entries()
    if request.args.get("after") == _digest(found):
        return make_response("", 204)
    return _render("live/entries.html", found)


def _render(template: str, found: list[TimelineEntry]) -> Response:
    shown = found[: most_rows(ENTRIES_SHOWN)]
    return render(template, entries=shown, digest=_digest(found))


def _entries() -> list[TimelineEntry]:
    with current().database.read_only() as session:
        return timeline.latest(session, ENTRIES_SHOWN)[::-1]


def _digest(found: list[TimelineEntry]) -> str:
    return sha256(repr([(entry.identity, entry.kind) for entry in found]).encode()).hexdigest()[:16]
