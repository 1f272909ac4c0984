"""Settings of operators' tools: the receiver's and the dashboard's address, and meetergo's API."""

from datetime import date
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from receiver.settings import SignedAddressSettings
from runtime.api_settings import ApiKey, ApiSettings
from runtime.settings import (
    Account,
    AddressSettings,
    DatabaseSettings,
    EncryptedStoreSettings,
    EncryptionSettings,
    ListenHost,
    PublicUrl,
    RedisSettings,
    RedisUrl,
    StoreSettings,
)
from runtime.signed_address import AddressSigner

if TYPE_CHECKING:
    from runtime.redis.client import InstallationRedis

LOCAL_API_URL = "http://127.0.0.1:8500"


class ConsoleSettings(SignedAddressSettings):
    """Settings of commands that need the receiver's address."""

    public_url: PublicUrl = ""
    port: int = Field(8000, ge=0, le=65535)

    @property
    def receiver_url(self) -> str:
        """The receiver's base URL: the public one, else the local one."""
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def address(self) -> str:
        """The URL that meetergo posts to. It is a secret."""
        return self.receiver_url + AddressSigner(self.webhook_keys).path(self.webhook_account)


class AccountSettings(EncryptedStoreSettings):
    """Settings of `accounts`. `webhook_account` is the name that the address of the account `default` has."""

    webhook_account: Account = "default"


class CalendarSettings(DatabaseSettings, AddressSettings):
    """Base URL of the calendar feeds, and the keys that sign their links (see WEBHOOK_KEYS)."""

    calendar_url: PublicUrl = ""
    public_url: PublicUrl = ""

    @property
    def calendar_base_url(self) -> str:
        """The feeds' base URL: CALENDAR_URL, else PUBLIC_URL, else that of this machine."""
        return (self.calendar_url or self.public_url or LOCAL_API_URL).rstrip("/")


def _without_path(url: str) -> str:
    if urlsplit(url).path.strip("/"):
        raise ValueError("it has a path, but the page's links have none: give the page a host of its own")
    return url


class DashboardAddressSettings(AddressSettings):
    """Address of the dashboard, and the keys that sign its login links and sessions (see WEBHOOK_KEYS)."""

    dashboard_host: ListenHost = "127.0.0.1"
    dashboard_port: int = Field(8400, ge=0, le=65535)
    dashboard_url: Annotated[PublicUrl, AfterValidator(_without_path)] = ""

    @property
    def dashboard_base_url(self) -> str:
        """The dashboard's URL in a browser: the configured one, else that of this machine."""
        host = f"[{self.dashboard_host}]" if ":" in self.dashboard_host else self.dashboard_host
        host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104 - a URL to open, nothing listens on it
        return (self.dashboard_url or f"http://{host}:{self.dashboard_port}").rstrip("/")


class ProviderSettings(RedisSettings, ApiSettings):
    """Settings of commands that call meetergo's API. Without Redis, each process has its own rate limit."""

    meetergo_api_key: ApiKey = Field(repr=False)
    meetergo_api_key_expires: date | None = None
    redis_url: RedisUrl | None = Field(None, repr=False)

    def redis(self) -> "InstallationRedis | None":
        """Return this installation's Redis client; None if no Redis is configured."""
        from runtime.redis.client import connect  # late: see runtime/settings.py

        return connect(self.redis_url, self.prefix, self.origin) if self.redis_url else None


class RegistrationSettings(ProviderSettings, ConsoleSettings):
    """Settings of commands that register the address with meetergo."""


class ErasureSettings(StoreSettings, EncryptionSettings):
    """Settings of `erase` and `reencrypt`. Without a Redis URL, Redis is not searched."""

    redis_url: RedisUrl | None = Field(None, repr=False)  # type: ignore[assignment] # wider than in the base class
