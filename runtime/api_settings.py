"""Settings of the API client: how a process reaches meetergo's API."""

import os
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import SplitResult
from urllib.request import getproxies

from pydantic import AfterValidator, Field

from meetergo.api.credential import Credential, UnusableKey
from meetergo.api.defaults import API_URL, MAX_WAIT, PER_MINUTE
from runtime.settings import Settings, UnusableSetting, one_line, split_url

if TYPE_CHECKING:
    from redis import Redis

    from meetergo.api import Meetergo

RATE_LIMIT_KEY = "api-limit"

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http", "https")
MAX_PER_MINUTE = 1_000_000


def _key(key: str) -> str:
    if key:
        try:
            Credential.read(key)
        except UnusableKey as error:
            raise ValueError(str(error)) from None
    return key


def _api_url(url: str) -> str:
    parts = _split_url(url)
    if parts.query or parts.fragment or not parts.hostname:
        raise ValueError(f"it should look like '{API_URL}'")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
        raise ValueError("it should start with https://; only a sandbox on this machine may use http")
    return url.rstrip("/")


def _split_url(url: str) -> SplitResult:
    """Parse a URL as httpx does, which encodes its host by IDNA 2008.

    Raises:
        ValueError: it is malformed.
    """
    parts = split_url(url)
    host = parts.hostname or ""
    if not host.isascii() or host.startswith("xn--"):
        import idna  # late: hardly any URL needs it

        try:
            idna.decode(host)
        except idna.IDNAError:
            raise ValueError("its host is not a domain name") from None
    return parts


def _check_proxy(name: str, url: str) -> None:
    try:
        parts = _split_url(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise UnusableSetting(f"{name} cannot be used: {error}") from None
    if parts.scheme not in PROXIES or not parts.hostname:
        raise UnusableSetting(f"{name} cannot be used: it should look like 'http://proxy.example:3128'")


@cache
def _check_certificates(file: str) -> None:
    """Check a file of certificates. All of a system's take 24 ms, so it is read once."""
    from ssl import create_default_context  # late: few set it

    try:
        create_default_context(cafile=file)
    except (OSError, ValueError):
        raise UnusableSetting("SSL_CERT_FILE cannot be used: it should name a file of certificates (PEM)") from None


ApiKey = Annotated[str, AfterValidator(_key)]
ApiUrl = Annotated[str, AfterValidator(_api_url)]


class ApiSettings(Settings):
    """Settings for calls to meetergo's API. Only processes that call it load them."""

    meetergo_api_key: ApiKey = Field("", repr=False)
    meetergo_api_url: ApiUrl = API_URL
    meetergo_api_user: Annotated[str, AfterValidator(one_line)] = ""
    meetergo_api_per_minute: int = Field(PER_MINUTE, ge=1, le=MAX_PER_MINUTE)

    def model_post_init(self, context: Any) -> None:
        """Check proxies and certificates in the environment now: otherwise a wrong one fails only at the first call."""
        super().model_post_init(context)
        for kind, url in getproxies().items():
            if kind in ("http", "https", "all"):
                _check_proxy(f"{kind.upper()}_PROXY", url)
        if file := os.environ.get("SSL_CERT_FILE"):
            _check_certificates(file)

    @property
    def uses_sandbox(self) -> bool:
        """Whether the URL is that of the sandbox on this machine."""
        return self.meetergo_api_url.startswith("http://")

    def api_client(
        self, redis: "Redis | None", share: float = 1.0, *, max_wait: timedelta = MAX_WAIT, **options: Any
    ) -> "Meetergo":
        """Build an API client. All processes share its rate limit through Redis.

        Args:
            redis: holds the shared request counts; None for a limit of this process alone.
            share: fraction of the rate limit that this caller may fill; see `RateLimiter`.
            max_wait: how long a request may wait for the rate limit.
            options: other arguments of the client, such as its timeout.

        Raises:
            UnusableKey: no key is set.
        """
        from meetergo.api import Meetergo, RateLimiter  # its libraries take a fifth of a process's start
        from runtime.redis.client import key_of

        return Meetergo(
            self.meetergo_api_key,
            user_id=self.meetergo_api_user or None,
            rate_limiter=RateLimiter(
                pool=redis.connection_pool if redis else None,
                key_prefix=key_of(redis, RATE_LIMIT_KEY) if redis else RATE_LIMIT_KEY,
                per_minute=self.meetergo_api_per_minute,
                share=share,
                max_wait=max_wait,
            ),
            base_url=self.meetergo_api_url,
            local_webhooks=self.uses_sandbox,
            **options,
        )

    def as_admin(self, client: "Meetergo") -> "Meetergo":
        """Return a client for calls about the company: a Platform key acts as MEETERGO_API_USER, else as the owner.

        Raises:
            ApiError: meetergo does not say who owns the key.
        """
        if self.meetergo_api_user or not client.can_impersonate:
            return client
        return client.as_user(client.users.me().id)
