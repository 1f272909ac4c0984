"""The routes of version 1."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from flask import Blueprint, Response, abort, current_app, make_response, request
from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.account import DEFAULT, Account, is_of
from models.booking import Booking, BookingChange
from models.change_feed import START, CursorGone, FeedCursor, end_of_feed, last_batch, number_changes, read_changes
from models.platform_user import PlatformUser
from models.search import BookingSearch
from operations.keyset import Conditions, KeysetPage, fetch_page, parse_key
from read_api.auth import account_to_read
from read_api.openapi import document
from read_api.schemas import (
    BookingsQuery,
    ChangesQuery,
    PageQuery,
    booking_resource,
    change_resource,
    host_resource,
)
from runtime.database import Database

DATABASE = "read-api-database"
WAIT = "read_api.wait"
"""Key in the WSGI environment under which a view stores its client's `Wait`; see `feed_waiters`."""
NOW = "now"
COLUMNS: tuple[Any, ...] = (Booking.id, Booking.starts_at, Booking.status, Booking.account)
"""Columns that find a page of bookings; its rows are then loaded by id."""
HOST_COLUMNS: tuple[Any, ...] = (PlatformUser.id, PlatformUser.account)
"""The same for a page of hosts."""

v1 = Blueprint("v1", __name__, url_prefix="/api/v1")

Query = TypeVar("Query", bound=BaseModel)


@dataclass(frozen=True)
class Wait:
    """A client's wait for changes.

    Attributes:
        batch: the last batch when there was no change for the client.
        seconds: how long it waits.
    """

    batch: int
    seconds: int


class _ReadChanges(NamedTuple):
    """Changes that were read, the feed's last batch before that, and where to continue if there are none."""

    batch: int
    changes: Sequence[BookingChange]
    end: FeedCursor


@v1.get("/bookings")
def list_bookings() -> Response:
    """List bookings: by id, or with `since` or `until` by their start."""
    parameters = _query(BookingsQuery)
    wanted = BookingSearch(platform_user=parameters.host, since=parameters.since, until=parameters.until)
    by_start = parameters.since or parameters.until
    key: tuple[Any, ...] = (Booking.starts_at, Booking.id) if by_start else (Booking.id,)
    with _database().read_only() as session:
        query, slow = select(*COLUMNS).where(*wanted.conditions(session)), dict[str, str]()
        account = _scope(session)
        if account == DEFAULT:
            slow["account"] = account
        elif account is not None:
            query = query.where(*is_of(Booking, account))
        if parameters.status:
            slow["status"] = parameters.status
        page = fetch_page(session, query, key, _key(parameters.after, key), parameters.limit, _equal(slow))
        ids = [row.id for row in page.rows]
        found = Booking.by_ids(session, ids)
        bookings = [found[each] for each in ids if each in found]
        owners = _owners(session, bookings)
    resources = [booking_resource(row, owners.get(row.platform_user_id or 0)) for row in bookings]
    return _json({"bookings": resources, "next": _next(page)})


@v1.get("/bookings/<id:booking_id>")
def show_booking(booking_id: str) -> Response:
    """Show one booking. The ETag hashes the response, because the revision does not cover the owner's `external_id`."""
    with _database().read_only() as session:
        booking = session.get(Booking, booking_id)
        if booking and account_to_read() not in (None, booking.account):
            booking = None
        owners = _owners(session, [booking] if booking else [])
    if booking is None:
        abort(404, "there is no booking with this id")
    response = _json(booking_resource(booking, owners.get(booking.platform_user_id or 0)))
    response.set_etag(f"{booking.revision}-{sha256(response.data).hexdigest()[:16]}")
    response.make_conditional(request)
    return response


@v1.get("/changes")
def list_changes() -> Response:
    """List changes in order. If there are none, `rsgi` delays the response to a client that waits."""
    parameters = _query(ChangesQuery)
    database = _database()
    if parameters.after == NOW:
        number_changes(database)
        with database.read_only() as session:
            return _json({"changes": [], "next": str(end_of_feed(session)), "has_more": False})
    after = _cursor(parameters.after)
    read = _read(database, after, parameters.limit)
    if len(read.changes) <= parameters.limit and number_changes(database):
        read = _read(database, after, parameters.limit)
    page = read.changes
    changes = page[: parameters.limit]
    with database.read_only() as session:
        owners = _owners(session, (change.booking for change in changes))
    if not changes and parameters.wait:
        request.environ[WAIT] = Wait(read.batch, parameters.wait)
    return _json(
        {
            "changes": [change_resource(row, owners.get(row.booking.platform_user_id or 0)) for row in changes],
            "next": str(FeedCursor.of(changes[-1]) if changes else read.end),
            "has_more": len(page) > parameters.limit,
        }
    )


@v1.get("/hosts")
def list_hosts() -> Response:
    """List hosts, by id."""
    parameters, key = _query(PageQuery), (PlatformUser.id,)
    with _database().read_only() as session:
        query, account = select(*HOST_COLUMNS), account_to_read()
        of_account = _equal({} if account is None else {"account": account})
        page = fetch_page(session, query, key, _key(parameters.after, key), parameters.limit, of_account)
        hosts = PlatformUser.by_ids(session, (row.id for row in page.rows))
    return _json({"hosts": [host_resource(hosts[each]) for each in sorted(hosts)], "next": _next(page)})


@v1.get("/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document."""
    return _json(document())


def _scope(session: Session) -> str | None:
    """Return the account that the token may read; None if that is all that there is."""
    account = account_to_read()
    return None if account == DEFAULT and not Account.is_any(session) else account


def _equal(values: Mapping[str, str]) -> Conditions | None:
    return (lambda row: [getattr(row, name) == value for name, value in values.items()]) if values else None


def _read(database: Database, after: FeedCursor, limit: int) -> _ReadChanges:
    """Read up to `limit + 1` changes. The batch and the end are read first, so that no newer change is missed."""
    with database.read_only() as session:
        try:
            batch, account, end = last_batch(session), _scope(session), after
            if account == DEFAULT:  # no index leads past the changes of the others: do not read them again
                end = max(after, end_of_feed(session), key=lambda cursor: (cursor.batch, cursor.id))
            return _ReadChanges(batch, read_changes(session, after, limit + 1, account), end)
        except CursorGone:
            abort(410, "this cursor is of a database that was replaced or restored: start again without `after`")


def _cursor(text: str | None) -> FeedCursor:
    try:
        return FeedCursor.parse(text) if text else START
    except ValueError as error:
        abort(400, f"after: {error}")


def _query(model: type[Query]) -> Query:
    repeated = next((name for name, values in request.args.lists() if len(values) > 1), None)
    if repeated:
        abort(400, f"{repeated[:60]}: this parameter can be given only once")
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        fault = error.errors(include_input=False, include_context=False, include_url=False)[0]
        name = str(fault["loc"][0])[:60] if fault["loc"] else "query"
        abort(400, f"{name}: {fault['msg'].removeprefix('Value error, ')}")


def _key(after: str | None, key: Sequence[Any]) -> list[Any] | None:
    if after is None:
        return None
    try:
        found = parse_key(urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode(), key)
    except ValueError:
        found = None
    if found is None:
        abort(400, "after: this is not a cursor of this list")
    return found


def _next(page: KeysetPage) -> str | None:
    return urlsafe_b64encode(page.next.encode()).decode().rstrip("=") if page.next else None


def _owners(session: Session, bookings: Iterable[Booking]) -> dict[int, PlatformUser]:
    return PlatformUser.by_ids(session, (row.platform_user_id for row in bookings))


def _database() -> Database:
    database: Database = current_app.extensions[DATABASE]
    return database


def _json(content: Any) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return make_response(body, 200, {"Content-Type": "application/json"})
