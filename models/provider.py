"""The provider: how this process reaches meetergo's API, if it does."""

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from redis import Redis

from meetergo.api import Credential, Limit, Meetergo, UnusableKey
from meetergo.api.limit import PATIENCE, PER_MINUTE
from meetergo.api.transport import HOME
from models.redis_client import key_of
from models.settings import Settings

LIMIT = "api-limit"

HERE = ("127.0.0.1", "localhost", "::1")


def _key(key: str) -> str:
    if key:
        try:
            Credential.read(key)
        except UnusableKey as error:
            raise ValueError(str(error)) from None
    return key


def _root(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in HERE):
        raise ValueError("it should start with https://; only a stand-in on this machine may do without")
    return url.rstrip("/")


ApiKey = Annotated[str, AfterValidator(_key)]
ApiRoot = Annotated[str, AfterValidator(_root)]


class ApiSettings(Settings):
    """What calls meetergo's API. Only processes that call it read these."""

    meetergo_api_key: ApiKey = Field("", repr=False)
    meetergo_api_url: ApiRoot = HOME
    meetergo_api_user: str = ""
    meetergo_api_per_minute: int = Field(PER_MINUTE, ge=1)

    @property
    def has_stand_in(self) -> bool:
        """Whether the API is that of a stand-in on this machine."""
        return self.meetergo_api_url.startswith("http://")

    def provider(
        self, redis: "Redis | None", share: float = 1.0, *, patience: timedelta = PATIENCE, **more: Any
    ) -> Meetergo:
        """A client. The limit is shared by all processes through Redis.

        Args:
            redis: where they count their requests.
            share: how full the minute may be for this caller; see `Limit`.
            patience: how long a request may wait for its turn.
            more: other arguments of the client, such as its timeout.

        Raises:
            UnusableKey: there is no key.
        """
        return Meetergo(
            self.meetergo_api_key,
            user_id=self.meetergo_api_user or None,
            limit=Limit(
                pool=redis.connection_pool if redis else None,
                key_prefix=key_of(redis, LIMIT) if redis else LIMIT,
                per_minute=self.meetergo_api_per_minute,
                share=share,
                patience=patience,
            ),
            home=self.meetergo_api_url,
            local_webhooks=self.has_stand_in,
            **more,
        )
