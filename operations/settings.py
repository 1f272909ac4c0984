"""Settings of the console: the address and how its deliveries are signed; meetergo's API; what `status` has to know."""

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from receiver.settings import SignedAddressSettings
from runtime.api_settings import ApiKey, ApiSettings
from runtime.redis.client import InstallationRedis, connect
from runtime.settings import PrefixSettings, RedisUrl, StoreSettings, WaitingSettings, split_url
from runtime.signed_address import AddressSigner


def _public_url(url: str) -> str:
    parts = split_url(url) if url else None
    if parts and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("it should look like 'https://inbox.example.com'")
    return url


class ConsoleSettings(SignedAddressSettings):
    """What the commands that speak of the address read."""

    public_url: Annotated[str, AfterValidator(_public_url)] = ""
    port: int = Field(8000, ge=0, le=65535)

    @property
    def receiver_url(self) -> str:
        """Where the receiver is reached: by everybody, or else from this machine."""
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def address(self) -> str:
        """What meetergo posts to. It is a secret."""
        return self.receiver_url + AddressSigner(self.webhook_keys).path(self.webhook_account)


class StatusSettings(StoreSettings, WaitingSettings):
    """What `status` reads."""

    meetergo_api_key_expires: date | None = None


class ProviderSettings(PrefixSettings, ApiSettings):
    """What the commands that call meetergo's API read. Without Redis they count their requests alone."""

    meetergo_api_key: ApiKey = Field(repr=False)
    redis_url: RedisUrl | None = Field(None, repr=False)

    def redis(self) -> InstallationRedis | None:
        """A client of this installation, if there is a Redis."""
        return connect(self.redis_url, self.prefix, self.origin) if self.redis_url else None


class RegistrationSettings(ProviderSettings, ConsoleSettings):
    """What the commands that register the address with meetergo read."""
