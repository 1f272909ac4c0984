"""Settings: the environment, read once per process into one object."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from redis.exceptions import RedisError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from meetergo.address import ACCOUNT
from models.installation import default_prefix, origin
from models.private_files import make_private
from models.redis_client import InstallationRedis, connect
from models.vault import Vault

OUR_FOLDER = Path("data")
OWN_REDIS = OUR_FOLDER / "redis" / "redis.sock"
"""Where `make run` puts a Redis of its own."""
DEFAULT_DATABASE_URL = f"sqlite:///{OUR_FOLDER}/inbox.db"
EXIT_BAD_SETTING = 2
SHORTEST_KEY = 32
PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _with_driver(url: str) -> str:
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    try:
        known = make_url(url).drivername in ("postgresql+psycopg", "sqlite")
    except (ArgumentError, ValueError):
        known = False
    if not known:
        raise ValueError("it should look like 'sqlite:///file' or 'postgresql://user:password@host:5432/database'")
    return url


def _redis_url(url: str) -> str:
    try:
        connect(url).connection_pool.make_connection()
    except (ValueError, TypeError, RedisError):
        raise ValueError(
            "it should look like 'redis://host:6379/0', 'rediss://...', 'unix:///file' or"
            " 'redis+sentinel://host:26379,host2:26379/service/0'"
        ) from None
    return url


def _prefix(prefix: str) -> str:
    if prefix and not PREFIX.fullmatch(prefix):
        raise ValueError("it should be 1 to 32 letters, digits, '-' or '_'")
    return prefix


def _long_enough(keys: list[str]) -> list[str]:
    if not keys or min(map(len, keys)) < SHORTEST_KEY:
        raise ValueError(f"it needs at least one key, and each at least {SHORTEST_KEY} characters long")
    return keys


def _fernet(keys: list[str]) -> list[str]:
    try:
        Vault(keys)
    except ValueError:
        raise ValueError("each key should be 32 bytes in URL-safe base64, as Fernet makes them") from None
    return keys


def _account(name: str) -> str:
    if not ACCOUNT.fullmatch(name):
        raise ValueError("it should be 1 to 64 letters, digits, '-' or '_'")
    return name


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]
DatabaseUrl = Annotated[str, AfterValidator(_with_driver)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
RedisPrefix = Annotated[str, AfterValidator(_prefix)]
WebhookKeys = Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_long_enough)]
BodyKeys = Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_fernet)]
Account = Annotated[str, AfterValidator(_account)]


class UnusableSetting(Exception):
    """A setting that is well-formed but of no use here; the message says which and why."""


class Settings(BaseSettings):
    """What one kind of process reads. Values come from the environment, then from `.env`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Reads the settings, or stops the process with a sentence that says what to set."""
        try:
            return cls(**values)
        except ValidationError as error:
            sentences = [_sentence(fault) for fault in error.errors(include_input=False, include_context=False)]
        except UnusableSetting as error:
            sentences = [f"{error} (see .env.example)."]
        print(*sentences, sep="\n", file=sys.stderr)
        raise SystemExit(EXIT_BAD_SETTING)


class DatabaseSettings(Settings):
    """Where the database is."""

    database_url: DatabaseUrl = Field(DEFAULT_DATABASE_URL, repr=False)

    def model_post_init(self, context: Any) -> None:
        """Makes the folder of an SQLite file."""
        if self.database_url.startswith("sqlite:///"):
            folder = Path(self.database_url.removeprefix("sqlite:///")).parent
            try:
                _make(folder)
            except OSError as error:
                raise UnusableSetting(f"DATABASE_URL cannot be used: the folder {folder} cannot be made") from error


class PrefixSettings(DatabaseSettings):
    """What the names in Redis begin with; it comes from DATABASE_URL unless it is set."""

    redis_prefix: RedisPrefix = ""

    @property
    def prefix(self) -> str:
        """What this installation's keys, queues and jobs begin with."""
        return self.redis_prefix or default_prefix(self.database_url)

    @property
    def origin(self) -> str:
        """Where a body that waits in Redis belongs; see `installation.origin`."""
        return origin(self.prefix, self.database_url)


def _make(folder: Path) -> None:
    """Our own folder is private. Another that is there is left as it is: others may have a share in it."""
    if folder == OUR_FOLDER or not folder.exists():
        make_private(folder)


class StoreSettings(PrefixSettings):
    """Where the two stores are."""

    redis_url: RedisUrl = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _redis_of_make_run(cls, values: Any) -> Any:
        """Beside a running `make run`, the console finds its Redis."""
        if isinstance(values, dict) and not values.get("redis_url") and OWN_REDIS.is_socket():
            return {**values, "redis_url": f"unix://{quote(str(OWN_REDIS.resolve()))}?db=0"}
        return values

    def redis(self) -> InstallationRedis:
        """A client of this installation."""
        return connect(self.redis_url, self.prefix, self.origin)


class MetricsSettings(Settings):
    """Where the numbers for Prometheus are served; without a port they are not even taken."""

    metrics_port: int | None = Field(None, ge=1, le=65533)
    metrics_host: str = "127.0.0.1"


class VaultSettings(Settings):
    """What seals the bodies at rest."""

    body_keys: BodyKeys = Field([], repr=False)

    def vault(self) -> Vault:
        """The vault with these keys."""
        return Vault(self.body_keys)


class SealedStoreSettings(DatabaseSettings, VaultSettings):
    """What opens the bodies in the database."""


class RetentionSettings(DatabaseSettings):
    """How long ended rows are kept, in days."""

    keep_done_days: int = Field(30, ge=1)
    keep_dead_days: int = Field(90, ge=1)

    @property
    def keep(self) -> dict[str, timedelta]:
        """Status -> how long rows stay."""
        return {"done": timedelta(days=self.keep_done_days), "dead": timedelta(days=self.keep_dead_days)}


class WaitingSettings(Settings):
    """How long a row may wait before a person should look, in seconds."""

    alert_waiting_seconds: int = Field(300, ge=1)


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
