"""`GET /calendar/<signed token>.ics`: the calendar of one host, for Google, Outlook and Apple to subscribe to."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from operations.store_errors import StoreError
from operations.users.calendar import CALENDAR_PATH, CalendarFeed, CalendarSigner
from runtime.database import Database
from runtime.logs import log_unhandled_exception

RETRY_AFTER = timedelta(minutes=1)


def calendar_blueprint(database: Database, keys: Sequence[str]) -> Blueprint:
    """Build the routes. They handle every error themselves: the path is a credential, which the app must not log.

    Args:
        database: read from; a token with an invalid signature causes no query.
        keys: WEBHOOK_KEYS, oldest to newest.
    """
    blueprint = Blueprint("calendar", __name__)
    signer = CalendarSigner(keys)

    @blueprint.get(f"{CALENDAR_PATH}/<token>.ics")
    def calendar(token: str) -> Response:
        feed_id = signer.feed_id(token)
        if feed_id is None:
            return Response(status=404)
        with database.read_only() as session:
            feed = CalendarFeed.find(session, feed_id, datetime.now(UTC))
        return Response(status=404) if feed is None else _respond(feed)

    @blueprint.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return Response(status=error.code)
        log_unhandled_exception(error)
        is_store = isinstance(error, StoreError)
        seconds = str(int(RETRY_AFTER.total_seconds()))
        return Response(status=503, headers={"Retry-After": seconds}) if is_store else Response(status=500)

    blueprint.after_request(_add_headers)
    return blueprint


def _respond(feed: CalendarFeed) -> Response:
    """Return the file, or 304 if the client has it.

    Only the ETag decides: when a booking moves to another host, this feed loses it without a newer Last-Modified, so
    If-Modified-Since would hide the change.
    """
    is_known = request.if_none_match.contains_weak(feed.digest)
    response = (
        Response(status=304) if is_known else Response(feed.to_ical(), content_type="text/calendar; charset=utf-8")
    )
    response.set_etag(feed.digest)
    response.last_modified = feed.modified_at
    response.cache_control.private = response.cache_control.no_cache = True
    return response


def _add_headers(response: Response) -> Response:
    if response.status_code not in (200, 304):
        response.cache_control.no_store = True
    response.headers.update(
        {
            "X-Robots-Tag": "noindex, nofollow",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
    )
    return response
