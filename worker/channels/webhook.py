"""The webhook channel: signed HTTP POSTs to the platform, following Standard Webhooks.

Source: standardwebhooks.com, "Webhook headers" and "Signature scheme".
"""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import cast
from urllib.parse import unquote

from standardwebhooks import Webhook
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeout
from urllib3.util import Url, parse_url

from models.account import DEFAULT
from models.booking import NotificationKind
from runtime.errors import Transient
from worker.channels.base import Message, Unresponsive
from worker.channels.proxy import pool_for
from worker.channels.status import classify_status
from worker.channels.webhook_events import (
    BookingData,
    BookingEventType,
    BookingMessage,
    BookingState,
    FormerFields,
    Host,
    ListedBooking,
    SummaryData,
    SummaryMessage,
    WebhookEvent,
)
from worker.deadline import Deadline
from worker.settings import WorkerSettings

TIMEOUT = timedelta(seconds=15)
"""Limit for the whole exchange: name resolution, connecting, proxy, TLS, request and response headers."""

MIN_SECRET_BYTES = 24
"""Minimum secret length in bytes; Standard Webhooks asks for 24 to 64."""

SECRET_FORMAT = (
    f"`whsec_` followed by base64 of at least {MIN_SECRET_BYTES} bytes, such as `openssl rand -base64 32` prints"
)

DEFAULT_ACCOUNT = {"account": DEFAULT}
"""Account of messages whose payload is older than accounts."""

TYPES: dict[NotificationKind, BookingEventType] = {
    "created": "booking.created",
    "rescheduled": "booking.rescheduled",
    "updated": "booking.updated",
    "cancelled": "booking.cancelled",
    "attendee_left": "booking.attendee_left",
}
"""Kind of notification -> type of event."""


class FinalResponse(HTTPResponse):
    """A response after the interim ones, such as 103 Early Hints (RFC 9110, 15.2): Python itself skips 100 only.

    One whose headers cannot be read counts by its status alone: the request was handled.
    """

    def begin(self) -> None:
        """Read the head. Python calls it once for each request."""
        self._read_head()
        while 101 < self.status < 200:
            self._read_head()

    def _read_head(self) -> None:
        self.version, self.headers = 0, None  # type: ignore[assignment]  # or Python would not read a further head
        try:
            super().begin()
        except HTTPException:
            if not self.version:  # there is no status line
                raise
            self.headers = self.msg = HTTPMessage()
            self.chunked, self.length, self.will_close = False, 0, True
        if len(set(",".join(self.headers.get_all("content-length", ())).split(","))) > 1:
            del self.headers["content-length"]  # urllib3 would refuse the response
            self.will_close = True


@cache
def _with_final_responses(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    """Return the same kind of pool, direct or through a proxy, whose connections read `FinalResponse`."""
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"response_class": FinalResponse})
    return cast("type[HTTPConnectionPool]", type(pool.__name__, (pool,), {"ConnectionCls": connection}))


class WebhookChannel:
    """Posts notifications to one URL.

    Args:
        url: the target.
        signers: each adds a signature, so that a platform with any of the secrets accepts.
        timeout: limit for the whole exchange.
        clock: returns the time of sending, UTC.

    Raises:
        ValueError: the proxy from the environment cannot be used.
    """

    def __init__(
        self,
        url: Url,
        signers: Sequence[Webhook],
        timeout: timedelta = TIMEOUT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = url.scheme or ""
        self.recipient = url.netloc or ""  # host and port; a path can hold a secret
        self.destination = f"{self.name}:{self.recipient}"
        self._address = url._replace(auth=None, fragment=None).url
        self._credentials = _credentials(url.auth)
        self._signers = signers
        self._clock = clock
        self._timeout = timeout
        self._pool = pool_for(url, timeout)
        pools = self._pool.pool_classes_by_scheme
        self._pool.pool_classes_by_scheme = {scheme: _with_final_responses(pool) for scheme, pool in pools.items()}

    @classmethod
    def open(cls, url: str, settings: WorkerSettings) -> "WebhookChannel":
        """Open the channel for an `http:` or `https:` URL.

        Raises:
            ValueError: not an absolute URL, or NOTIFY_SIGNING_SECRET is missing or malformed.
        """
        return cls(_address(url), _signers(settings.notify_signing_secret))

    def send(self, message: Message) -> None:
        """Post a message.

        Raises:
            Permanent: the address is gone.
            TemporaryRefusal: the platform rejects the message for now, or redirects.
            Unresponsive: the platform did not respond in time.
            Transient: the platform is unreachable or cannot accept the message now.
        """
        body = _body(message)
        with Deadline(self._timeout) as deadline:
            try:
                # The status is enough: the body is not read, so no response is too long.
                response = self._pool.request(
                    "POST",
                    self._address,
                    body=body.encode(),
                    headers=self._headers(message.id, body),
                    redirect=False,
                    preload_content=False,
                )
                response.close()
            except (HTTPError, OSError) as error:
                timed_out = isinstance(error, HTTPTimeout) and not isinstance(error, NewConnectionError)
                if deadline.expired or timed_out:
                    raise Unresponsive("the platform did not answer in time") from error
                raise Transient(f"the platform could not be reached ({type(error).__name__})") from error
        classify_status(response.status, response.headers.get("retry-after"), self._clock())

    def _headers(self, message_id: str, body: str) -> dict[str, str]:
        now = self._clock()
        return self._credentials | {
            "content-type": "application/json",
            "user-agent": "meetergo-inbox",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in self._signers),
        }


def _body(message: Message) -> str:
    """Serialise a message deterministically, so that a receiver can recognise a repeat by its bytes too."""
    timestamp = message.made_at.isoformat()
    host = cast("Host | None", {**DEFAULT_ACCOUNT, **message.host} if message.host else None)
    content: WebhookEvent
    if message.kind == "summary":
        listed = cast("list[ListedBooking]", list(message.bookings))
        summary = SummaryData(bookings=listed, total=message.total, host=host)
        content = SummaryMessage(type="bookings.summary", timestamp=timestamp, data=summary)
    else:
        booking = cast("BookingState", {**DEFAULT_ACCOUNT, **message.booking})
        before = cast("FormerFields | None", message.before)
        data = BookingData(booking=booking, before=before, host=host)
        content = BookingMessage(type=TYPES[message.kind], timestamp=timestamp, data=data)
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _address(text: str) -> Url:
    try:
        url = parse_url(text)
    except HTTPError:
        raise ValueError("it is not a URL") from None
    if not url.host:
        raise ValueError("it names no host")
    try:
        url.host.encode("idna")
    except UnicodeError:
        raise ValueError("a part of its host is empty, or longer than 63 characters") from None
    return url


def _credentials(auth: str | None) -> dict[str, str]:
    if not auth:
        return {}
    return {"authorization": "Basic " + base64.b64encode(unquote(auth).encode()).decode()}


def _signers(secrets: Sequence[str]) -> list[Webhook]:
    if not secrets:
        raise ValueError(f"NOTIFY_SIGNING_SECRET is not set: set it to {SECRET_FORMAT}")
    return [Webhook(_decode(secret, number)) for number, secret in enumerate(secrets, 1)]


def _decode(text: str, number: int) -> bytes:
    encoded = text.removeprefix("whsec_")
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        secret = b""
    if not text.startswith("whsec_") or len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"secret {number} of NOTIFY_SIGNING_SECRET cannot be used: each is {SECRET_FORMAT}")
    return secret
