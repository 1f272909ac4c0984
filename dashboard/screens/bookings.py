"""Bookings: a list, and one booking with its timeline, meetergo's view of it, and what its host reads."""

from datetime import timedelta
from typing import Any, cast, get_args

from flask import Response, abort, request
from sqlalchemy.orm import Session

from dashboard import keyset, people
from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import active_filters, reason_of_form, row_search, text_of
from dashboard.i18n import N_, _
from dashboard.page_size import fit, most_rows
from dashboard.pages import render
from dashboard.provider import CLIENT, api_errors, provider_settings
from dashboard.stores import current
from dashboard.times import now
from models import timeline
from models.account import account_of
from models.booking import Booking, BookingStatus
from models.intervention import Intervention
from models.platform_user import PlatformUser
from models.search import BookingSearch
from operations.bookings.preview import preview
from operations.bookings.refresh import RefreshResult, open_refresher
from operations.bookings.search import BookingTab, bookings_in
from operations.errors import OperationError
from operations.keyset import count_tabs, key_text, parse_key
from operations.lookup import IdNotFound, find_booking_id
from operations.serialize import booking_to_json

screen = ScreenBlueprint("bookings", N_("Bookings"))

TABS: dict[BookingTab, str] = {
    "all": N_("All"),
    "upcoming": N_("Upcoming"),
    "cancelled": N_("Cancelled"),
    "unhosted": N_("Without a host"),
    "untimed": N_("Without a time"),
}
FILTERS = ("account", "booking", "host", "guest", "state", "since", "until")
STATES: tuple[BookingStatus, ...] = get_args(BookingStatus)
ENTRIES_PER_PAGE = 50
WORKER_TIMEOUT = timedelta(seconds=5)
"""How long the page waits for the worker before it says that none has corrected the booking yet."""
SHOWN_ELSEWHERE = (
    *"id account status starts_at ends_at platform_user_id host_ids".split(),  # noqa: SIM905 - shorter
    *"attendees created_at updated_at as_of revision".split(),  # noqa: SIM905 - shorter
)


@screen.page("/bookings")
def list_all() -> Response:
    """List bookings: by start, filtered."""
    name = request.args.get("tab", "all")
    tab = cast("BookingTab", name) if name in get_args(BookingTab) else "all"
    with current().database.read_only() as session:
        wanted = _filter(session)
        lists = {each: bookings_in(session, each, wanted, now()) for each in TABS}
        counts, page = count_tabs(session, lists, tab), keyset.fetch_tab(session, lists[tab])
        hosts = PlatformUser.by_ids(session, {row.platform_user_id for row in page.rows})
    filters = active_filters(names=FILTERS)
    return render("bookings/list.html", tab=tab, tabs=TABS, counts=counts, page=page, hosts=hosts, filters=filters)


@screen.page("/bookings/<id:booking_id>")
def show(booking_id: str) -> Response:
    """Show one booking, with personal data masked."""
    return _show(booking_id)


@screen.act("/bookings/<id:booking_id>/reveal", role="people")
def reveal(booking_id: str) -> Response:
    """Show one booking with personal data, and record who read it and why."""
    reason = reason_of_form()
    with current().database.transaction() as session:
        known = _find_id(session, booking_id)
        Intervention.record_on_booking(session, "revealed", known, now(), by=operator().name, reason=reason)
    people.reveal()
    return _show(booking_id)


@screen.act("/bookings/<id:booking_id>/compare", role="read")
def compare(booking_id: str) -> Response:
    """Ask meetergo about one booking, and show what differs. Nothing is changed."""
    with current().database.read_only() as session:
        known = _find_id(session, booking_id)
    return _show(known, *_refresh(known, is_dry=True))


@screen.act("/bookings/<id:booking_id>/refresh", role="operate")
def refresh(booking_id: str) -> Response:
    """Refresh one booking from meetergo."""
    reason = reason_of_form()
    with current().database.read_only() as session:
        known = _find_id(session, booking_id)
    result, problem = _refresh(known, is_dry=False)
    if result:
        with current().database.transaction() as session:
            Intervention.record_on_booking(session, "refreshed", known, now(), by=operator().name, reason=reason)
    return _show(known, result, problem, is_refreshed=True)


def _refresh(booking_id: str, *, is_dry: bool) -> tuple[RefreshResult | None, str | None]:
    """Return the result of a refresh, and its problem if it has one."""
    services, account = current().services, account_of(booking_id)
    stores = (services.database, services.job_queue, account, WORKER_TIMEOUT)
    try:
        with api_errors(account), open_refresher(provider_settings(account), *stores, **CLIENT) as refresher:
            (result,) = refresher.run([booking_id], is_dry)
    except OperationError as error:
        return None, str(error)
    return result, result.problem


@fit
def _show(
    booking_id: str, result: RefreshResult | None = None, problem: str | None = None, *, is_refreshed: bool = False
) -> Response:
    before = parse_key(request.args.get("before"), [timeline.DELIVERY_RECEIVED.order[0]])
    with current().database.read_only() as session:
        known = _find_id(session, booking_id)
        booking = session.get(Booking, known)
        entries, earlier = timeline.latest_of_booking(
            session, known, most_rows(ENTRIES_PER_PAGE), before[0] if before else None
        )
        host = session.get(PlatformUser, booking.platform_user_id) if booking and booking.platform_user_id else None
        co_hosts = _co_hosts(session, booking) if booking else {}
        message = preview(session, booking, people.masked) if booking else None
    columns: dict[str, Any] = booking_to_json(booking) if booking else {}
    return render(
        "bookings/show.html",
        booking_id=known,
        booking=booking,
        host=host,
        co_hosts=co_hosts,
        columns={name: value for name, value in columns.items() if name not in SHOWN_ELSEWHERE},
        entries=entries,
        earlier=key_text([earlier]) if earlier else None,
        is_latest=before is None,
        message=message,
        result=result,
        problem=problem,
        is_refreshed=is_refreshed,
        is_asked=request.endpoint in ("bookings.compare", "bookings.refresh"),
    )


def _filter(session: Session) -> BookingSearch:
    search = row_search(session)
    state = text_of("state")
    return BookingSearch(
        status=next((status for status in STATES if status == state), None),
        booking_id=search.booking_id,
        platform_user=search.platform_user,
        since=search.since,
        until=search.until,
        booking_ids=search.booking_ids,
        account=search.account,
    )


def _find_id(session: Session, typed: str) -> str:
    try:
        return find_booking_id(session, typed)
    except IdNotFound:
        abort(404, _("There is no booking with this id."))


def _co_hosts(session: Session, booking: Booking) -> dict[str, PlatformUser | None]:
    """Return a booking's other hosts at meetergo, each with the platform user it is mapped to."""
    ids = [str(host_id) for host_id in booking.host_ids[:20]]
    found = {each: PlatformUser.by_meetergo_user_id(session, each, booking.account) for each in ids}
    return {key: user for key, user in found.items() if user is None or user.id != booking.platform_user_id}
