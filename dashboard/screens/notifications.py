"""Notifications: lists by status, and one notification with its attempts and its content."""

from typing import get_args

from flask import Response, abort
from sqlalchemy.orm import Session

from dashboard import keyset, people
from dashboard.access import ScreenBlueprint
from dashboard.filters import TABS, active_filters, row_search, tab_of_request
from dashboard.i18n import N_, _
from dashboard.labels import kind_name
from dashboard.pages import render
from dashboard.stores import current
from models.booking import NotificationKind
from models.notification import Notification
from models.platform_user import PlatformUser
from operations.bookings.preview import render_message
from operations.deliveries import detail as delivery_detail
from operations.errors import OperationError
from operations.keyset import count_tabs
from operations.lookup import find_notification
from operations.notifications.search import notifications_in

screen = ScreenBlueprint("notifications", N_("Notifications"))

KINDS = get_args(NotificationKind)


@screen.page("/notifications")
def list_all() -> Response:
    """List notifications: one tab per status, filtered."""
    tab = tab_of_request()
    with current().database.read_only() as session:
        search = row_search(session)
        lists = {each: notifications_in(each, search) for each in TABS}
        counts, page = count_tabs(session, lists, tab), keyset.fetch_tab(session, lists[tab])
    return render(
        "notifications/list.html",
        tab=tab,
        tabs=TABS,
        counts=counts,
        page=page,
        filters=active_filters(),
        kinds=[("", _("any")), *((kind, kind_name(kind)) for kind in KINDS)],
    )


@screen.page("/notifications/<id:notification_id>")
def show(notification_id: str) -> Response:
    """Show one notification: its recipient, its attempts, and what it says, with personal data masked."""
    with current().database.read_only() as session:
        row = _find(session, notification_id)
        host = session.get(PlatformUser, row.platform_user_id) if row.platform_user_id else None
        events = delivery_detail.attempts(session, row)
        message = render_message(row, people.masked)
    ordered = sorted([*events["failed_attempts"], *events["interventions"]], key=lambda each: each["at"])
    return render("notifications/show.html", row=row, host=host, message=message, events=ordered)


def _find(session: Session, typed: str) -> Notification:
    try:
        return find_notification(session, typed)
    except OperationError:
        abort(404, _("There is no notification with this number. It may have been pruned."))
