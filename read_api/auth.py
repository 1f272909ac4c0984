"""Access control, closed by default: bearer tokens, created by `bin/inbox api-tokens create`."""

import re
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from threading import Lock

import structlog
from flask import Flask, abort, current_app, g, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import TooManyRequests, Unauthorized

from models.api_token import PREFIX, ApiToken, digest_of
from operations.users.calendar import CALENDAR_PATH
from runtime.database import Database

OPEN_ENDPOINTS = frozenset({"healthz", "v1.openapi", "calendar.calendar"})
"""Routes without a bearer token: two reveal nothing about the installation; a calendar's path holds a signed token."""
READERS = frozenset({"read"})
"""Roles that may read. Another role, such as one of a later version, may not."""
FAILURES = RateLimitItemPerMinute(30)
"""Limit of failed requests per address; beyond it, tokens that are not known get 429 without a look-up of each."""
MAX_KNOWN = 1_000
RELOAD_INTERVAL = timedelta(seconds=10)
"""How often, at most, all valid tokens are read while an address exceeds the limit."""
BEARER = re.compile(rf"Bearer +({PREFIX}[A-Za-z0-9_-]{{43}}) *", re.IGNORECASE)
EXTENSION = "read-api-guard"

log = structlog.get_logger()


class TokenGuard:
    """Checks tokens.

    Consumers behind one proxy share an address with strangers, so a valid token is looked up even if its address has
    exceeded the limit, also one that this process has not seen yet.

    Args:
        database: holds the tokens.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()
        self._reload_at = 0.0

    def check(self, header: str, address: str, now: datetime) -> ApiToken:
        """Return the token that a request carries.

        Args:
            header: the request's Authorization header.
            address: the peer's IP address.
            now: the time, UTC.

        Raises:
            Unauthorized: it carries none, or one that is unknown or revoked.
            TooManyRequests: this address has failed too often.
        """
        found = BEARER.fullmatch(header)
        digest = digest_of(found[1]) if found else ""
        if not (digest in self._known or self._limiter.test(FAILURES, address) or self._is_stored(digest)):
            raise TooManyRequests("too many requests without a valid token", retry_after=60)
        token = self._find(digest) if found else None
        if token is None:
            self._limiter.hit(FAILURES, address)
            self._forget(digest)
            raise Unauthorized("a valid token is needed", www_authenticate=WWWAuthenticate("bearer"))
        self._remember(digest)
        if not token.is_use_recorded(now):
            self._record_use(token.id, now)
        return token

    def _find(self, digest: str) -> ApiToken | None:
        with self._database.read_only() as session:
            return ApiToken.by_digest(session, digest)

    def _record_use(self, token_id: int, now: datetime) -> None:
        try:
            with self._database.transaction() as session:
                ApiToken.record_use(session, token_id, now)
        except SQLAlchemyError as error:  # reads must work while the database is read-only
            log.warning("api.use_not_recorded", token=token_id, error=type(error).__name__)

    def _is_stored(self, digest: str) -> bool:
        """Whether a token is valid, as far as is known from reading all of them a short while ago."""
        if time.monotonic() >= self._reload_at:
            try:
                with self._database.read_only() as session:
                    for each in ApiToken.newest_digests(session, MAX_KNOWN):
                        self._remember(each)
            finally:  # also if the database does not answer: strangers must not keep it busy
                self._reload_at = time.monotonic() + RELOAD_INTERVAL.total_seconds()
        return digest in self._known

    def _remember(self, digest: str) -> None:
        with self._lock:
            self._known[digest] = None
            self._known.move_to_end(digest)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def _forget(self, digest: str) -> None:
        with self._lock:
            self._known.pop(digest, None)


def protect(app: Flask, database: Database) -> None:
    """Check every request of an app before it is routed to a view."""
    app.extensions[EXTENSION] = TokenGuard(database)
    app.before_request(_check_access)


def _check_access() -> None:
    if request.endpoint in OPEN_ENDPOINTS or request.path.startswith(f"{CALENDAR_PATH}/"):
        return  # also of methods that calendar programs try, such as PROPFIND: they are no failed logins
    guard: TokenGuard = current_app.extensions[EXTENSION]
    token = guard.check(request.headers.get("Authorization", ""), request.remote_addr or "", datetime.now(UTC))
    if token.role not in READERS:
        abort(403, "this token's role may not read")
    g.account = token.account


def account_to_read() -> str | None:
    """Return the only account that this request's token may read; None for all."""
    account: str | None = g.account
    return account
