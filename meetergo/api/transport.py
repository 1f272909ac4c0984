"""The transport: sends requests within the rate limit, and retries those that are safe to repeat.

Reads are repeated on network errors and 429, 502, 503, 504; writes on 429 only, since no endpoint has an idempotency
key. Those are the rules of meetergo's own client (meetergo-mcp-server, `src/client.ts`).
"""

import json
import os
import ssl
import time
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx
import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from meetergo.api.credential import Credential
from meetergo.api.errors import ApiError, BadResponse, InvalidCall, OutcomeUnknown, RateLimited, Unavailable
from meetergo.api.network import is_public_host
from meetergo.api.rate_limit import RateLimiter
from meetergo.api.request import Request
from meetergo.api.responses import TOO_MANY_REQUESTS, Json, body_of, error_for

TIMEOUT = timedelta(seconds=30)
MAX_ATTEMPTS = 3
MAX_BACKOFF = timedelta(seconds=20)
MAX_BODY = 64 * 2**20
"""Bytes of a response. A page of appointments has less than a tenth of that; parsed, it takes many times more."""
HEADERS = {"Accept": "application/json", "User-Agent": "meetergo-inbox"}

RETRYABLE_READ_STATUSES = {None, 502, 503, 504}
"""Status codes; None means no response."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

log = structlog.get_logger()


class Transport:
    """Sends requests to meetergo's API with one key. It is thread-safe. `Meetergo` has the defaults.

    Args:
        credential: the key.
        rate_limiter: limits the requests of all processes.
        base_url: the API's root: https, or http on a private host, which can only be the sandbox.
        timeout: for connecting, for each read, and for the whole body of a response.
        attempts: maximum attempts of a request.
        max_backoff: maximum pause between attempts, whatever meetergo asks for.
        sleep: waits N seconds.
        clock: returns the time, UTC.

    Raises:
        InvalidCall: the root is not https.
    """

    def __init__(
        self,
        credential: Credential,
        rate_limiter: RateLimiter,
        *,
        base_url: str,
        timeout: timedelta,
        attempts: int,
        max_backoff: timedelta,
        sleep: Callable[[float], None],
        clock: Callable[[], datetime],
    ) -> None:
        url = _base_url(base_url)
        self.credential = credential
        self._rate_limiter = rate_limiter
        self._attempts = attempts
        self._max_backoff = max_backoff
        self._timeout = timeout
        self._backoff = wait_exponential_jitter(max=max_backoff)
        self._sleep = sleep
        self._clock = clock
        self._client = httpx.Client(
            base_url=url,
            headers=HEADERS,
            auth=Bearer(credential),
            timeout=timeout.total_seconds(),
            verify=_tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
            follow_redirects=False,  # following a redirect would send the key elsewhere
            event_hooks={"response": [_forget_location]},
            trust_env=False,  # a NO_PROXY with `[::1]` or `fe80::/10` would raise; see `proxy_for`
            proxy=proxy_for(url),
        )

    def send(self, request: Request) -> Json:
        """Send a request and return the response's JSON, or None if its body was empty.

        Raises:
            ApiError: the request failed, or its outcome is unknown.
        """
        impersonation = self.credential.header(request.user_id, request.impersonation)
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _is_retryable(request, error)),
            stop=stop_after_attempt(self._attempts),
            wait=self._wait_before_retry,
            sleep=self._sleep,
            before_sleep=lambda state: _log(request, state),
            reraise=True,
        )
        return retrying(self._send_once, request, impersonation)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._rate_limiter.close()

    def _send_once(self, request: Request, impersonation: dict[str, str]) -> Json:
        self._rate_limiter.acquire(self.credential.fingerprint)
        response, content = self._exchange(request, impersonation)
        if not response.is_success:
            retry_after = response.headers.get("Retry-After")
            raise error_for(request, response.status_code, content, retry_after, self._clock())
        try:
            return body_of(content)
        except ValueError:
            raise bad_response(request, "it is not JSON") from None

    def _exchange(self, request: Request, impersonation: dict[str, str]) -> tuple[httpx.Response, bytes]:
        query = {name: value for name, value in request.query.items() if value is not None}
        content = {"files": _form(request.body)} if request.is_form else {"json": request.body}
        if request.body is None:
            content = {}
        try:
            with self._client.stream(
                request.method, request.path, params=query or None, headers=impersonation, **content
            ) as response:
                return response, self._read_body(request, response)
        except httpx.HTTPError as error:
            failure = _network_error(request, error, self._client.base_url)
        raise failure  # outside the except block: httpx's error holds the request and so the key

    def _read_body(self, request: Request, response: httpx.Response) -> bytes:
        """Read the body, whose parts have one time limit together: httpx's own restarts with every byte.

        Raises:
            httpx.ReadTimeout: it did not end in time.
            BadResponse: it is too long (`OutcomeUnknown` after a write).
        """
        ends_at = time.monotonic() + self._timeout.total_seconds()
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if time.monotonic() > ends_at:
                raise httpx.ReadTimeout("the body did not end in time")
            if len(content) > MAX_BODY:
                raise bad_response(request, f"it is longer than {MAX_BODY // 2**20} MiB")
        return bytes(content)

    def _wait_before_retry(self, state: RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        if isinstance(error, ApiError) and error.retry_after is not None:
            return min(error.retry_after, self._max_backoff).total_seconds()
        return self._backoff(state)

    def __repr__(self) -> str:
        return f"{self._client.base_url}, {self.credential.masked}"


class Bearer(httpx.Auth):
    """Adds the key to a request at the last moment, so that no dictionary of ours holds it."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Called by httpx for each request."""
        request.headers["Authorization"] = f"Bearer {self._credential.secret.get_secret_value()}"
        yield request


def bad_response(request: Request, reason: str) -> ApiError:
    """Return the error for a success that cannot be parsed. After a write, the outcome is unknown."""
    kind = BadResponse if request.is_read else OutcomeUnknown
    return kind(f"meetergo's answer to {request.name} cannot be read: {reason}")


def _base_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeError):  # also a host that IDNA does not allow
        raise InvalidCall("the API's address is not a URL") from None
    if url.userinfo or url.scheme not in ("https", "http") or not url.host:
        raise InvalidCall("the API's address should look like https://api.meetergo.com")
    if url.scheme == "http" and is_public_host(url.host):
        raise InvalidCall("the API's address must begin with https, or the key could be read in transit")
    return url


def proxy_for(url: httpx.URL) -> str | None:
    """Return the proxy that HTTPS_PROXY, ALL_PROXY and NO_PROXY name for a URL; none for the sandbox."""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or not is_public_host(url.host) or proxy_bypass(f"{url.host}:{url.port or 443}"):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


@cache
def _tls_context(_cert_file: str | None, _cert_dir: str | None) -> ssl.SSLContext:
    """Create httpx's default context once per value of the variables that it reads: loading the roots takes 40 ms."""
    return httpx.create_ssl_context()


def _forget_location(response: httpx.Response) -> None:
    """Remove the address of a redirect: httpx parses it, followed or not, and raises many things if it is malformed."""
    response.headers.pop("Location", None)


def _network_error(request: Request, error: httpx.HTTPError, url: httpx.URL) -> ApiError:
    reason = type(error).__name__
    if isinstance(error, NOT_SENT):  # nothing of the request can be in its text
        reason = f"{reason} at {url.host}: {error}" if str(error) else f"{reason} at {url.host}"
    message = f"meetergo did not answer {request.name} ({reason})"
    if request.is_read or isinstance(error, NOT_SENT):
        return Unavailable(message)
    return OutcomeUnknown(message)


def _is_retryable(request: Request, error: BaseException) -> bool:
    if isinstance(error, RateLimited):
        return error.status == TOO_MANY_REQUESTS  # the rate limiter has already waited
    if isinstance(error, BadResponse) or not isinstance(error, Unavailable):
        return False
    return request.is_read and error.status in RETRYABLE_READ_STATUSES


def _form(body: dict[str, Any]) -> dict[str, tuple[None, str]]:
    return {name: (None, value if isinstance(value, str) else json.dumps(value)) for name, value in body.items()}


def _log(request: Request, state: RetryCallState) -> None:
    error = state.outcome and state.outcome.exception()
    log.info(
        "api.retry",
        request=request.name,
        status=getattr(error, "status", None),
        attempt=state.attempt_number,
        seconds=round(state.upcoming_sleep, 3),
    )
