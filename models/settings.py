"""Settings: the environment, read once per process into one object."""

import sys
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from meetergo.address import ACCOUNT

DEFAULT_DATABASE_URL = "sqlite:///data/inbox.db"
EXIT_BAD_SETTING = 2
SHORTEST_KEY = 32


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _with_driver(url: str) -> str:
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    if url.startswith(("postgresql+psycopg://", "sqlite://")):
        return url
    raise ValueError("it should start with 'sqlite:///' or 'postgresql://'")


def _redis_url(url: str) -> str:
    if url.startswith(("redis://", "rediss://", "unix://")):
        return url
    raise ValueError("it should start with 'redis://', 'rediss://' or 'unix://'")


def _long_enough(keys: list[str]) -> list[str]:
    if not keys or min(map(len, keys)) < SHORTEST_KEY:
        raise ValueError(f"it needs at least one key, and each at least {SHORTEST_KEY} characters long")
    return keys


def _account(name: str) -> str:
    if not ACCOUNT.fullmatch(name):
        raise ValueError("it should be 1 to 64 letters, digits, '-' or '_'")
    return name


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]
DatabaseUrl = Annotated[str, AfterValidator(_with_driver)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
WebhookKeys = Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_long_enough)]
Account = Annotated[str, AfterValidator(_account)]


class Settings(BaseSettings):
    """What one kind of process reads. Values come from the environment, then from `.env`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Reads the settings, or stops the process with a sentence that says what to set."""
        try:
            return cls(**values)
        except ValidationError as error:
            for fault in error.errors(include_input=False, include_url=False, include_context=False):
                print(_sentence(fault), file=sys.stderr)
            raise SystemExit(EXIT_BAD_SETTING) from None


class DatabaseSettings(Settings):
    """Where the database is."""

    database_url: DatabaseUrl = Field(DEFAULT_DATABASE_URL, repr=False)

    def model_post_init(self, context: Any) -> None:
        """Makes the folder of an SQLite file."""
        if self.database_url.startswith("sqlite:///"):
            Path(self.database_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)


class StoreSettings(DatabaseSettings):
    """Where the two stores are."""

    redis_url: RedisUrl = Field(repr=False)


class AddressSettings(Settings):
    """What signs the address that meetergo posts to."""

    webhook_keys: WebhookKeys = Field(repr=False)
    webhook_account: Account = "default"


def _sentence(fault: Any) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return f"{message} (see .env.example)."
    name = str(fault["loc"][0]).upper()
    if fault["type"] == "missing":
        return f"{name} is not set: put it into the environment or into .env (see .env.example)."
    return f"{name} cannot be used: {message} (see .env.example)."
