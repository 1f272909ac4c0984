"""Settings of the read API."""

from pydantic import Field

from runtime.settings import DatabaseSettings, ListenHost, WebhookKeys


class ReadApiSettings(DatabaseSettings):
    """Settings of the read API, which needs the database alone. Calendars need WEBHOOK_KEYS, which sign their links."""

    api_host: ListenHost = "127.0.0.1"
    api_port: int = Field(8500, ge=0, le=65535)
    webhook_keys: WebhookKeys = Field([], repr=False, validate_default=False)
