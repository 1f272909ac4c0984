"""The transport: sends calls within the limit, and repeats those that are safe to repeat.

Reads are repeated on network errors and 429, 502, 503, 504; writes on 429 only, since no endpoint has an idempotency
key. Those are the rules of meetergo's own client (meetergo-mcp-server, `src/client.ts`).
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from meetergo.api.credential import Bearer, Credential
from meetergo.api.errors import ApiError, BadResponse, InvalidCall, OutcomeUnknown, RateLimited, Unavailable
from meetergo.api.network import is_public_host
from meetergo.api.rate_limit import RateLimiter
from meetergo.api.request import Request
from meetergo.api.responses import TOO_MANY, Json, body_of, error_for

HOME = "https://api.meetergo.com"
TIMEOUT = timedelta(seconds=30)
ATTEMPTS = 3
LONGEST_PAUSE = timedelta(seconds=20)
HEADERS = {"Accept": "application/json", "User-Agent": "meetergo-inbox"}

WORTH_ANOTHER_READ = {None, 502, 503, 504}
"""Statuses; None is no answer at all."""
NOTHING_WAS_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

log = structlog.get_logger()


class Transport:
    """A line to meetergo's API, for one key. Threads may share it.

    Args:
        credential: the key.
        limit: how many requests may be made, in all processes.
        home: the API's root: https, or http on a private host, where only a stand-in can be.
        timeout: for connecting, and for each wait for bytes.
        attempts: how often to send a call at most.
        longest_pause: between two attempts, whatever meetergo asks for.
        sleep: waits some seconds.
        clock: what time it is, UTC.

    Raises:
        InvalidCall: the root is not https.
    """

    def __init__(
        self,
        credential: Credential,
        limit: RateLimiter,
        *,
        home: str = HOME,
        timeout: timedelta = TIMEOUT,
        attempts: int = ATTEMPTS,
        longest_pause: timedelta = LONGEST_PAUSE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        url = _root(home)
        self.credential = credential
        self._limit = limit
        self._attempts = attempts
        self._longest_pause = longest_pause
        self._backoff = wait_exponential_jitter(max=longest_pause)
        self._sleep = sleep
        self._clock = clock
        self._client = httpx.Client(
            base_url=url,
            headers=HEADERS,
            auth=Bearer(credential),
            timeout=timeout.total_seconds(),
            follow_redirects=False,  # it would carry the key elsewhere
            trust_env=is_public_host(url.host),  # a proxy has no business between us and a stand-in
        )

    def send(self, call: Request) -> Json:
        """What meetergo answered: JSON, or None if the body was empty.

        Raises:
            ApiError: it did not do what we asked, or we do not know.
        """
        acting = self.credential.header(call.user_id, call.acting)
        again = Retrying(
            retry=retry_if_exception(lambda error: _is_worth_another_try(call, error)),
            stop=stop_after_attempt(self._attempts),
            wait=self._pause,
            sleep=self._sleep,
            before_sleep=lambda state: _log(call, state),
            reraise=True,
        )
        return again(self._send_once, call, acting)

    def close(self) -> None:
        """Hangs up."""
        self._client.close()
        self._limit.close()

    def _send_once(self, call: Request, acting: dict[str, str]) -> Json:
        self._limit.wait(self.credential.fingerprint)
        response = self._exchange(call, acting)
        if not response.is_success:
            said = response.headers.get("Retry-After")
            raise error_for(call, response.status_code, response.content, said, self._clock())
        try:
            return body_of(response.content)
        except ValueError:
            raise unreadable(call, "it is no JSON") from None

    def _exchange(self, call: Request, acting: dict[str, str]) -> httpx.Response:
        query = {name: value for name, value in call.query.items() if value is not None}
        content = {"files": _form(call.body)} if call.is_form else {"json": call.body}
        if call.body is None:
            content = {}
        try:
            return self._client.request(call.method, call.path, params=query or None, headers=acting, **content)
        except httpx.HTTPError as error:
            failure = _failure(call, error)
        raise failure  # outside of the block: httpx's error holds the request, and that the key

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        if isinstance(error, ApiError) and error.retry_after is not None:
            return min(error.retry_after, self._longest_pause).total_seconds()
        return self._backoff(state)

    def __repr__(self) -> str:
        return f"{self._client.base_url}, {self.credential.masked}"


def unreadable(call: Request, why: str) -> ApiError:
    """An answer that says yes, and nothing that we understand. Of a write, that leaves open what it made."""
    kind = BadResponse if call.is_read else OutcomeUnknown
    return kind(f"meetergo's answer to {call.name} cannot be read: {why}")


def _root(home: str) -> httpx.URL:
    try:
        url = httpx.URL(home)
    except httpx.InvalidURL:
        raise InvalidCall("the API's address is no URL") from None
    if url.userinfo or url.scheme not in ("https", "http") or not url.host:
        raise InvalidCall("the API's address should look like https://api.meetergo.com")
    if url.scheme == "http" and is_public_host(url.host):
        raise InvalidCall("the API's address must begin with https, or the key could be read on its way")
    return url


def _failure(call: Request, error: httpx.HTTPError) -> ApiError:
    words = f"meetergo did not answer {call.name} ({type(error).__name__})"
    if call.is_read or isinstance(error, NOTHING_WAS_SENT):
        return Unavailable(words)
    return OutcomeUnknown(words)


def _is_worth_another_try(call: Request, error: BaseException) -> bool:
    if isinstance(error, RateLimited):
        return error.status == TOO_MANY  # our own limit has waited already
    if isinstance(error, BadResponse) or not isinstance(error, Unavailable):
        return False
    return call.is_read and error.status in WORTH_ANOTHER_READ


def _form(body: dict[str, Any]) -> dict[str, tuple[None, str]]:
    return {name: (None, value if isinstance(value, str) else json.dumps(value)) for name, value in body.items()}


def _log(call: Request, state: RetryCallState) -> None:
    error = state.outcome and state.outcome.exception()
    log.info(
        "api.again",
        call=call.name,
        status=getattr(error, "status", None),
        attempt=state.attempt_number,
        seconds=round(state.upcoming_sleep, 3),
    )
