"""Settings: the environment and `.env`, read once per process into one object."""

import re
import socket
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self
from urllib.parse import SplitResult, quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from redis.exceptions import RedisError
from sqlalchemy.engine import make_url

from runtime import env_file
from runtime.database_url import check_database_url
from runtime.encryption import BodyCipher
from runtime.env_file import UnusableFile
from runtime.private_files import make_private
from runtime.redis.client import InstallationRedis, connect
from runtime.redis.installation import default_prefix, origin
from runtime.signed_address import ACCOUNT

DATA_FOLDER = Path("data")
DEV_REDIS_SOCKET = DATA_FOLDER / "redis" / "redis.sock"
"""Where `make run` puts a Redis of its own."""
DEFAULT_DATABASE_URL = f"sqlite:///{DATA_FOLDER}/inbox.db"
EXIT_BAD_SETTING = 2
MIN_KEY_LENGTH = 32
PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")
MAX_DAYS = 36_500
MAX_MESSAGE_LENGTH = 400
MAX_SECONDS = 366 * 24 * 3600
SETTING_NAMES = frozenset(
    """ALERT_CHANNELS ALERT_WAITING_SECONDS BODY_KEYS CONFIRM CONFIRM_CANCELS DATABASE_URL HOST KEEP_DEAD_DAYS
    KEEP_DONE_DAYS MAIL_FROM MEETERGO_API_KEY MEETERGO_API_KEY_EXPIRES MEETERGO_API_PER_MINUTE MEETERGO_API_URL
    MEETERGO_API_USER MEETERGO_COMPANY_ID METRICS_HOST METRICS_PORT NOTIFY_DEFAULT NOTIFY_SIGNING_SECRET
    PLATFORM_HOOK PORT POSTGRES_PASSWORD PUBLIC_URL RECONCILE_DAYS REDIS_PASSWORD REDIS_PREFIX REDIS_URL SMTP_URL
    WEBHOOK_ACCOUNT WEBHOOK_ADDRESS_OPTIONAL WEBHOOK_KEYS WEBHOOK_MAX_BODY WEBHOOK_SIGNATURE_HEADER
    WEBHOOK_SIGNATURE_SCHEME WEBHOOK_SIGNATURE_SECRETS WEBHOOK_SIGNATURE_TOLERANCE WEB_PROCESSES WEB_THREADS""".split()  # noqa: SIM905 - thirty lines less
)
"""Every setting of every process. What else is in `.env` is for libraries and for the platform's hook."""


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if any(not _is_plain(part) for part in parts):
        raise ValueError("it holds a control character")
    return parts


def _redis_url(url: str) -> str:
    try:
        parts = urlsplit(url) if "+sentinel" in url else split_url(url)
        pool = connect(url).connection_pool
        pool.make_connection()
        if parts.scheme in ("redis", "rediss") and not (parts.path.strip("/") or "0").isdigit():
            raise ValueError
    except (ValueError, TypeError, RedisError) as error:
        option = str(error).rpartition("unexpected keyword argument ")[2] if isinstance(error, TypeError) else ""
        what = f"it has an option that does not exist or does not fit redis://: {option}" if option else ""
        raise ValueError(
            what
            or "it should look like 'redis://host:6379/0', 'rediss://...', 'unix:///file' or"
            " 'redis+sentinel://host:26379,host2:26379/service/0'"
        ) from None
    if pool.connection_kwargs.get("decode_responses"):
        raise ValueError("decode_responses cannot be used here: leave it away")
    return url


def _prefix(prefix: str) -> str:
    if prefix and not PREFIX.fullmatch(prefix):
        raise ValueError("it should be 1 to 32 letters, digits, '-' or '_'")
    return prefix


def split_url(url: str) -> SplitResult:
    """The parts of a URL whose port is a number and in which nothing is blank.

    Raises:
        ValueError: they are not.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("it holds a blank or a control character")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - is read only here
    except ValueError:
        raise ValueError(
            "its port or its brackets are malformed (in a password, write '@' as %40, ':' as %3A, '/' as %2F, "
            "'#' as %23, '%' as %25)"
        ) from None
    return parts


def listen_host(name: str) -> str:
    """A host to listen on, as an address that a socket takes.

    Raises:
        ValueError: it is no name or address of this machine.
    """
    name = name.strip("[]")
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = min((family, address) for family, _, _, _, address in found)
        with socket.socket(family) as probe:
            probe.bind(address)
    except (OSError, UnicodeError):
        raise ValueError(
            "it is no name or address of this machine: set it to 0.0.0.0, 127.0.0.1 or one of its own addresses"
        ) from None
    return str(address[0])


def _long_enough(keys: list[str]) -> list[str]:
    if not keys:
        raise ValueError(f"it needs at least one key, of at least {MIN_KEY_LENGTH} characters")
    for number, key in enumerate(keys, 1):
        if len(key) < MIN_KEY_LENGTH:
            raise ValueError(
                f"key {number} has {len(key)} characters, and a key needs at least {MIN_KEY_LENGTH} characters"
            )
    return keys


def _fernet(keys: list[str]) -> list[str]:
    try:
        BodyCipher(keys)
    except ValueError:
        raise ValueError("each key should be 32 bytes in URL-safe base64, as Fernet makes them") from None
    return keys


def _account(name: str) -> str:
    if not ACCOUNT.fullmatch(name):
        raise ValueError("it should be 1 to 64 letters, digits, '-' or '_'")
    return name


def _is_plain(text: str) -> bool:
    """Whether there are neither control characters nor what is not UTF-8 in it."""
    return not any(character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in text)


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]
DatabaseUrl = Annotated[str, AfterValidator(check_database_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
RedisPrefix = Annotated[str, AfterValidator(_prefix)]
WebhookKeys = Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_long_enough)]
BodyKeys = Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_fernet)]
Account = Annotated[str, AfterValidator(_account)]
ListenHost = Annotated[str, AfterValidator(listen_host)]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]


class UnusableSetting(Exception):
    """A setting that is well-formed but of no use here; the message says which and why."""


class _Source(EnvSettingsSource):
    """The environment and then the file. A variable that is there and empty takes the setting away.

    Args:
        settings: the class that is loaded.
        file: where the file is; None to read none.
    """

    def __init__(self, settings: type[BaseSettings], file: Path | None) -> None:
        self._file = file
        super().__init__(settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = env_file.environment(self._file)
        uppercase = {name: value for name, value in given.items() if name.isupper()}
        names = {name.upper() for name in self.settings_cls.model_fields}
        values = {
            name.upper(): value.strip() for name, value in {**given, **uppercase}.items() if name.upper() in names
        }
        for name, value in values.items():
            if not _is_plain(value.translate(LINE_BREAKS)):
                raise UnusableSetting(f"{name} cannot be used: it holds a control character, or is not UTF-8")
        return {name.lower(): value for name, value in values.items() if value}


ENV_FILE = Path(".env")
_file: ContextVar[Path | None] = ContextVar("file", default=None)
"""Where the file is that is read now; None where settings are made from given values."""
LINE_BREAKS = dict.fromkeys(map(ord, "\r\n\t"))
"""Between the parts of a list there may be lines: each part is looked at alone."""


class Settings(BaseSettings):
    """Settings of one kind of process. Values come from the environment, then from `.env`."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given to the constructor, then the environment, then the file. pydantic-settings reads no file: it
        would do so before anybody could say in a sentence what is wrong with it.
        """
        return init_settings, _Source(settings_cls, _file.get())

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Load the settings, including `.env`, or exit with a message that says what to set."""
        reading = _file.set(ENV_FILE)
        try:
            settings = cls(**values)
            env_file.export(ENV_FILE, SETTING_NAMES)
        except ValidationError as error:
            exit_with_message(
                *[_error_message(fault) for fault in error.errors(include_input=False, include_context=False)]
            )
        except (UnusableSetting, UnusableFile) as error:
            exit_with_message(f"{error} (see .env.example).")
        finally:
            _file.reset(reading)
        return settings


def exit_with_message(*messages: str) -> NoReturn:
    """Exit with a message, since a setting cannot be used."""
    print(*(shorten(each) for each in dict.fromkeys(messages)), sep="\n", file=sys.stderr)
    raise SystemExit(EXIT_BAD_SETTING)


def shorten(message: str) -> str:
    """A sentence that may quote a name or a path, with the middle left out if that is very long."""
    return message if len(message) <= MAX_MESSAGE_LENGTH else f"{message[:200]} ... {message[-100:]}"


def one_line(text: str) -> str:
    """A value that becomes part of a header or a URL.

    Raises:
        ValueError: it has several lines.
    """
    if not _is_plain(text):
        raise ValueError("it holds a line end or a control character")
    return text


class DatabaseSettings(Settings):
    """Settings of the database."""

    database_url: DatabaseUrl = Field(DEFAULT_DATABASE_URL, repr=False)

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database."""
        url = make_url(self.database_url)
        return Path(url.database or "") if url.get_backend_name() == "sqlite" else None

    @property
    def existing_database_url(self) -> str:
        """The URL for who only looks at what is there, or changes it: an SQLite file is not made by that.

        Raises:
            SystemExit: there is no such file.
        """
        file = self.database_file
        if file and not file.exists():
            exit_with_message(f"DATABASE_URL names the file {file}, which does not exist: bin/inbox migrate makes it.")
        return self.database_url

    def model_post_init(self, context: Any) -> None:
        """Makes the folder of an SQLite file."""
        super().model_post_init(context)
        file = self.database_file
        if file is None:
            return
        try:
            _make_folder(file.parent)
            is_folder = file.is_dir()
        except (OSError, ValueError):
            raise UnusableSetting(f"DATABASE_URL cannot be used: the folder {file.parent} cannot be made") from None
        if is_folder:
            raise UnusableSetting(f"DATABASE_URL cannot be used: {file} is a folder, not a file")


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


def _make_folder(folder: Path) -> None:
    """Our own folder is private. Another that is there is left as it is: others may have a share in it."""
    if folder == DATA_FOLDER or not folder.exists():
        make_private(folder)


class StoreSettings(PrefixSettings):
    """Settings of the two stores, database and Redis."""

    redis_url: RedisUrl = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _redis_of_make_run(cls, values: Any) -> Any:
        """Beside a running `make run`, the console finds its Redis."""
        if isinstance(values, dict) and not values.get("redis_url") and DEV_REDIS_SOCKET.is_socket():
            return {**values, "redis_url": f"unix://{quote(str(DEV_REDIS_SOCKET.resolve()))}?db=0"}
        return values

    def redis(self) -> InstallationRedis:
        """Open a Redis client of this installation."""
        return connect(self.redis_url, self.prefix, self.origin)


class MetricsSettings(Settings):
    """Settings of the Prometheus metrics. Without a port, nothing is counted."""

    metrics_port: int | None = Field(None, ge=1, le=65533)
    metrics_host: ListenHost = "127.0.0.1"


class EncryptionSettings(Settings):
    """Settings for the encryption of bodies at rest."""

    body_keys: BodyKeys = Field([], repr=False)

    def cipher(self) -> BodyCipher:
        """Build the cipher with these keys."""
        return BodyCipher(self.body_keys)


class EncryptedStoreSettings(DatabaseSettings, EncryptionSettings):
    """Settings of processes that decrypt bodies in the database."""


class RetentionSettings(DatabaseSettings):
    """How long ended rows are kept, in days."""

    keep_done_days: Days = 30
    keep_dead_days: Days = 90

    @property
    def keep_for(self) -> dict[str, timedelta]:
        """Status -> how long rows stay."""
        return {"done": timedelta(days=self.keep_done_days), "dead": timedelta(days=self.keep_dead_days)}


class WaitingSettings(Settings):
    """How long a row may wait before a person should look, in seconds."""

    alert_waiting_seconds: int = Field(300, ge=1, le=MAX_SECONDS)


class AddressSettings(Settings):
    """Settings that sign the address that meetergo posts to."""

    webhook_keys: WebhookKeys = Field(repr=False)
    webhook_account: Account = "default"


def _error_message(fault: Any) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return f"{message} (see .env.example)."
    name = str(fault["loc"][0]).upper()
    if fault["type"] == "missing":
        return f"{name} is not set: put it into the environment or into .env (see .env.example)."
    return f"{name} cannot be used: {message} (see .env.example)."
