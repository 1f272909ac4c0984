"""Settings of the read API."""

from pydantic import Field

from runtime.settings import DatabaseSettings, ListenHost


class ReadApiSettings(DatabaseSettings):
    """Settings of the read API. It needs the database alone: neither Redis nor a key."""

    api_host: ListenHost = "127.0.0.1"
    api_port: int = Field(8500, ge=0, le=65535)
