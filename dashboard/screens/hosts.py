"""Hosts: which meetergo user each platform user is mapped to, and which mappings are missing."""

from flask import Response, abort, request

from dashboard import keyset
from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import reason_of_form, text_of
from dashboard.i18n import N_, _
from dashboard.page_size import most_rows
from dashboard.pages import render, see_other
from dashboard.stores import current
from dashboard.times import now
from models.account import DEFAULT
from models.employee import Employee
from models.platform_user import PlatformUser
from models.reconciliation import ReconcileCursor
from operations.bookings.search import next_of_host
from operations.users import forget as forgetting
from operations.users.mapping import MAX_WAITING, HostValues, save_host, search_hosts, unmapped_hosts

screen = ScreenBlueprint("hosts", N_("Hosts"))

MAX_SHOWN, NEXT_BOOKINGS = 30, 10
FIELDS = ("meetergo_user_id", "meetergo_meeting_type_id", "name", "timezone", "language")


@screen.page("/hosts")
def list_all() -> Response:
    """List hosts, and meetergo's users without a mapped host as a work list."""
    only_unmapped, account = request.args.get("mapping") == "none", text_of("account")
    with current().database.read_only() as session:
        missing = unmapped_hosts(session, now())
        query = search_hosts(text_of("q"), only_unmapped=only_unmapped)
        of_account = (lambda columns: [columns.account == account]) if account else None
        page = keyset.fetch(session, query, PlatformUser.id, unindexed=of_account, descending=False)
    limits = dict(MAX_SHOWN=most_rows(MAX_SHOWN), MAX_WAITING=MAX_WAITING)
    return render("hosts/list.html", missing=missing, page=page, only_unmapped=only_unmapped, **limits)


@screen.page("/hosts/<id:external_id>")
def show(external_id: str) -> Response:
    """Show one host, its mapping and its next bookings."""
    with current().database.read_only() as session:
        user = PlatformUser.by_external_id(session, external_id)
        if user is None:
            abort(404, _("There is no host with this id of the platform."))
        bookings = next_of_host(session, user.id, now(), NEXT_BOOKINGS)
        host_id = user.meetergo_user_id
        cursor = ReconcileCursor.of_host(session, user.account, host_id) if host_id else None
        is_employee = bool(user.email) and Employee.is_known(session, str(user.email), user.account)
    return render("hosts/show.html", user=user, bookings=bookings, cursor=cursor, is_employee=is_employee)


@screen.act("/hosts/add", role="operate")
def add() -> Response:
    """Add a host, mapped to a user of meetergo."""
    reason, external_id = reason_of_form(), text_of("external_id") or ""
    values = HostValues(external_id, **{name: text_of(name) for name in (*FIELDS, "email")})
    account = text_of("account") or DEFAULT
    save_host(current().database, values, now(), account=account, by=operator().name, reason=reason)
    return see_other("hosts.show", external_id=external_id)


@screen.act("/hosts/change", role="operate")
def change() -> Response:
    """Change a host's mapping or its details."""
    reason, external_id = reason_of_form(), text_of("external_id") or ""
    given = {name: text_of(name) or "" for name in FIELDS if name in request.form}
    values = HostValues(external_id, **given, email=text_of("email"))
    save_host(current().database, values, now(), account=None, by=operator().name, reason=reason)
    return see_other("hosts.show", external_id=external_id)


@screen.act("/hosts/forget", role="operate")
def forget() -> Response:
    """Remove the mapping of a host. The host and its bookings stay."""
    reason, external_id = reason_of_form(), text_of("external_id") or ""
    forgetting.forget(current().database, external_id, now(), by=operator().name, reason=reason)
    return see_other("hosts.show", external_id=external_id)
