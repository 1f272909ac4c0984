"""Settings: the environment and `.env`, read once per process into one object."""

import errno
import re
import socket
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self
from urllib.parse import SplitResult, quote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy.engine import make_url

from runtime import env_file
from runtime.database_url import DEFAULT_SCHEMA, ESCAPES, check_database_url, check_schema
from runtime.encryption import BodyCipher
from runtime.env_file import UnusableFile
from runtime.private_files import make_private
from runtime.redis.installation import default_prefix, origin
from runtime.signed_address import ACCOUNT

if TYPE_CHECKING:
    from runtime.database import Database
    from runtime.redis.client import InstallationRedis

DATA_FOLDER = Path("data")
DEV_REDIS_SOCKET = DATA_FOLDER / "redis" / "redis.sock"
"""Socket of the Redis that `make run` starts."""
DEFAULT_DATABASE_URL = f"sqlite:///{DATA_FOLDER}/inbox.db"
EXIT_BAD_SETTING = 2
MIN_KEY_LENGTH = 32
PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")
MAX_DAYS = 36_500
MAX_MESSAGE_LENGTH = 400
MAX_SECONDS = 366 * 24 * 3600
SETTING_NAMES = frozenset(
    """ALERT_CHANNELS ALERT_WAITING_SECONDS API_HOST API_PORT BODY_KEYS CALENDAR_URL CONFIRM CONFIRM_CANCELS
    DASHBOARD_HOST DASHBOARD_PORT DASHBOARD_PROXIES DASHBOARD_ROLE_HEADER DASHBOARD_URL DASHBOARD_USER_HEADER
    DATABASE_NOTIFY DATABASE_SCHEMA DATABASE_URL HOST KEEP_DEAD_DAYS KEEP_DONE_DAYS MAIL_COLOR MAIL_FROM MAIL_LOGO
    MAIL_NAME MAIL_REPLY_TO_GUEST MAIL_TEMPLATES MEETERGO_API_KEY MEETERGO_API_KEY_EXPIRES MEETERGO_API_PER_MINUTE
    MEETERGO_API_URL MEETERGO_API_USER MEETERGO_COMPANY_ID METRICS_HOST METRICS_PORT NOTIFY_DEFAULT
    NOTIFY_SIGNING_SECRET PLATFORM_HOOK PLATFORM_PATH PORT POSTGRES_PASSWORD PUBLIC_URL RECONCILE_DAYS REDIS_PASSWORD
    REDIS_PREFIX REDIS_TLS_VERIFY REDIS_URL SMTP_URL WEBHOOK_ACCOUNT WEBHOOK_ADDRESS_OPTIONAL WEBHOOK_KEYS
    WEBHOOK_MAX_BODY WEBHOOK_SIGNATURE_HEADER WEBHOOK_SIGNATURE_SCHEME WEBHOOK_SIGNATURE_SECRETS
    WEBHOOK_SIGNATURE_TOLERANCE WEB_PROCESSES WEB_THREADS""".split()  # noqa: SIM905 - a list would take thirty more lines
)
"""Every setting of every process. Other names in `.env` are for libraries and for the platform's hook."""
QUOTES = ('"', "'")
FILE_SUFFIX = "_FILE"
"""Suffix of a variable that names a file with a secret setting."""


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if any(not _is_plain(part) for part in parts):
        raise ValueError("it holds a control character")
    return parts


def _redis_url(url: str) -> str:
    from redis.exceptions import RedisError  # late: a fifth of the start of a command that needs the database alone

    from runtime.redis.client import connect

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
            + (f"; {ESCAPES}" if "@" in url else "")
        ) from None
    if pool.connection_kwargs.get("decode_responses"):
        raise ValueError("decode_responses cannot be used here: remove it")
    return url


def _prefix(prefix: str) -> str:
    if prefix and not PREFIX.fullmatch(prefix):
        raise ValueError("it should be 1 to 32 letters, digits, '-' or '_'")
    return prefix


def split_url(url: str) -> SplitResult:
    """Parse a URL and check that its port is a number, that no part is blank, and that its host could be looked up.

    Raises:
        ValueError: it is malformed.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("it holds a blank or a control character")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it validates it
    except ValueError:
        raise ValueError(f"its port or its brackets are malformed ({ESCAPES})") from None
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("a part of its host is empty, or longer than 63 characters") from None
    return parts


def _public_url(url: str) -> str:
    parts = split_url(url) if url else None
    if parts and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("it should look like 'https://inbox.example.com'")
    return url


def listen_host(name: str) -> str:
    """Parse a host to listen on as a socket address.

    Raises:
        ValueError: it is not a name or address of this machine.
    """
    name = name.strip("[]")
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = min((family, address) for family, _, _, _, address in found)
        with socket.socket(family) as probe:
            probe.bind(address)
    except (OSError, UnicodeError):
        raise ValueError(
            "it is not a name or address of this machine: set it to 0.0.0.0, 127.0.0.1 or one of its own addresses"
        ) from None
    return str(address[0])


def port_problem(host: str, port: int) -> str | None:
    """Return why a port cannot be listened on; None if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return "it is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return None


def check_port_free(setting: str, host: str, port: int) -> None:
    """Check once, before serving, that a port is free.

    Raises:
        SystemExit: the port is taken or cannot be bound; a message names the setting and says why.
    """
    if problem := port_problem(host, port):
        exit_with_message(f"{setting} cannot be used: port {port} of {host}: {problem} (see .env.example).")


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
    """Whether a text is UTF-8 without control characters."""
    return not any(character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in text)


CommaSeparated = Annotated[list[str], BeforeValidator(_split)]
DatabaseUrl = Annotated[str, AfterValidator(check_database_url)]
DatabaseSchema = Annotated[str, AfterValidator(check_schema)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
RedisPrefix = Annotated[str, AfterValidator(_prefix)]
WebhookKeys = Annotated[list[str], BeforeValidator(_split), AfterValidator(_long_enough)]
BodyKeys = Annotated[list[str], BeforeValidator(_split), AfterValidator(_fernet)]
Account = Annotated[str, AfterValidator(_account)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
ListenHost = Annotated[str, AfterValidator(listen_host)]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]


class UnusableSetting(Exception):
    """A setting is well-formed but unusable here; the message says which and why."""


def _given_values(settings: type["Settings"], file: Path | None) -> dict[str, str]:
    """Read the environment and then the file; return field -> text. An empty variable unsets the setting.

    Args:
        settings: the class to load.
        file: path of the file; None to read none.

    Raises:
        UnusableSetting: a value cannot be that of any setting.
    """
    given = env_file.environment(file)
    uppercase = {name: value for name, value in given.items() if name.isupper()}
    fields = {name.upper(): field for name, field in settings.model_fields.items()}
    values = {name.upper(): value.strip() for name, value in {**given, **uppercase}.items() if name.upper() in fields}
    secret_names = [name for name, field in fields.items() if not field.repr]
    values |= {name: secret for name in secret_names if (secret := _secret_in_file(name, given, values.get(name)))}
    for name, value in values.items():
        if not _is_plain(value.translate(LINE_BREAKS)):
            raise UnusableSetting(f"{name} cannot be used: it holds a control character, or is not UTF-8")
    return {name.lower(): value for name, value in values.items() if value}


def _secret_in_file(name: str, given: Mapping[str, str], value: str | None) -> str | None:
    """Return the content of the file that NAME_FILE names; None if that is not set.

    Raises:
        UnusableSetting: the file cannot be read, or NAME has a value too.
    """
    variable = name + FILE_SUFFIX
    path = given.get(variable, "").strip()
    if not path:
        return None
    if value:
        raise UnusableSetting(f"{name} and {variable} are both set: remove one of them")
    try:
        secret = env_file.read_secret(Path(path))
    except UnusableFile as error:
        raise UnusableSetting(f"{variable} cannot be used: {error}") from None
    return secret.strip()


_file: ContextVar[Path | None] = ContextVar("file", default=None)
"""The file being read; None where settings are built from given values."""
LINE_BREAKS = dict.fromkeys(map(ord, "\r\n\t"))
"""Elements of a list may be separated by line breaks: each is checked alone."""


class Settings(BaseModel):
    """Settings of one kind of process. Values come from the environment, then from `.env`."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, validate_default=True, defer_build=True)

    def __init__(self, **values: Any) -> None:
        super().__init__(**{**_given_values(type(self), _file.get()), **values})

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Load the settings, including `.env`, or exit with a message that says what to set."""
        reading = _file.set(env_file.ENV_FILE)
        try:
            settings = cls(**values)
            env_file.export(env_file.ENV_FILE, SETTING_NAMES | {name + FILE_SUFFIX for name in SETTING_NAMES})
        except ValidationError as error:
            exit_with_message(*[_error_message(fault) for fault in error.errors(include_context=False)])
        except (UnusableSetting, UnusableFile) as error:
            exit_with_message(f"{error} (see .env.example).")
        finally:
            _file.reset(reading)
        return settings


def build_all() -> None:
    """Build the validators of all settings that are imported. pydantic otherwise does so at the first use of each."""
    types: list[type[Settings]] = [Settings]
    for each in types:
        each.model_rebuild()
        types += each.__subclasses__()


def exit_with_message(*messages: str) -> NoReturn:
    """Exit with the message for an unusable setting."""
    print(*(shorten(each) for each in dict.fromkeys(messages)), sep="\n", file=sys.stderr)
    raise SystemExit(EXIT_BAD_SETTING)


def shorten(message: str) -> str:
    """Return a message that may quote a name or a path; a very long one is shortened in the middle."""
    return message if len(message) <= MAX_MESSAGE_LENGTH else f"{message[:200]} ... {message[-100:]}"


def one_line(text: str) -> str:
    """Check a value that becomes part of a header or a URL, and return it.

    Raises:
        ValueError: it has several lines.
    """
    if not _is_plain(text):
        raise ValueError("it holds a line end or a control character")
    return text


class DatabaseSettings(Settings):
    """Settings of the database."""

    database_url: DatabaseUrl = Field(DEFAULT_DATABASE_URL, repr=False)
    database_schema: DatabaseSchema = DEFAULT_SCHEMA

    def database(
        self, pool_size: int = 5, statement_timeout: timedelta = timedelta(0), pre_ping: bool = True
    ) -> "Database":
        """Open the database. See `Database` for the arguments."""
        from runtime.database import Database  # late: most commands need no database to show their help

        return Database(self.database_url, pool_size, statement_timeout, pre_ping, self.database_schema)

    @property
    def database_file(self) -> Path | None:
        """Path of an SQLite database."""
        url = make_url(self.database_url)
        return Path(url.database or "") if url.get_backend_name() == "sqlite" else None

    def check_file_exists(self) -> None:
        """Exit if the SQLite file does not exist: commands that only read or change data must not create one.

        Raises:
            SystemExit: it does not exist; a message says what creates it.
        """
        file = self.database_file
        if file and not file.exists():
            exit_with_message(f"DATABASE_URL names the file {file}, which does not exist: bin/inbox migrate makes it.")

    def model_post_init(self, context: Any) -> None:
        """Create the directory of an SQLite file."""
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


class RedisSettings(DatabaseSettings):
    """Settings of Redis: the prefix of the names there, and whether `rediss://` checks certificates.

    The prefix is derived from DATABASE_URL unless set. Unless REDIS_URL is set, the Redis of a `make run` in this
    folder is found. Heroku and others hand out a `rediss://` URL whose certificate nobody has signed, and change it
    without notice, so that an option in the URL would not last: `redis_tls_verify` is beside it. Each subclass
    declares its own `redis_url`, required or not.
    """

    redis_prefix: RedisPrefix = ""
    redis_tls_verify: bool = True

    @model_validator(mode="before")
    @classmethod
    def _find_dev_redis(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("redis_url") and _is_answering(DEV_REDIS_SOCKET):
            return {**values, "redis_url": f"unix://{quote(str(DEV_REDIS_SOCKET.resolve()))}?db=0"}
        return values

    @model_validator(mode="after")
    def _apply_tls_verify(self) -> Self:
        """Add to REDIS_URL the option not to check certificates, unless it says itself what to check."""
        url = getattr(self, "redis_url", None)
        if url and not self.redis_tls_verify and url.startswith("rediss") and "ssl_cert_reqs=" not in url:
            vars(self)["redis_url"] = f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=none"
        return self

    @property
    def prefix(self) -> str:
        """Prefix of this installation's keys, queues and jobs."""
        return self.redis_prefix or default_prefix(self.database_url, self.database_schema)

    @property
    def origin(self) -> str:
        """Identifies the installation that a body waiting in Redis belongs to; see `installation.origin`."""
        return origin(self.prefix, self.database_url, self.database_schema)


def _make_folder(folder: Path) -> None:
    """Make our own directory private. Any other is left alone: others may use it too."""
    if folder == DATA_FOLDER or not folder.exists():
        make_private(folder)


def _is_answering(path: Path) -> bool:
    """Whether a server listens on a socket; one that was killed leaves its file."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path.resolve()))
        except OSError:
            return False
    return True


class StoreSettings(RedisSettings):
    """Settings of the two stores, database and Redis."""

    redis_url: RedisUrl = Field(repr=False)

    def redis(self) -> "InstallationRedis":
        """Open a Redis client of this installation."""
        from runtime.redis.client import connect  # late: see `_redis_url`

        return connect(self.redis_url, self.prefix, self.origin)


class MetricsSettings(Settings):
    """Settings of the Prometheus metrics. Without a port, metrics are disabled."""

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
    """How long finished rows are kept, in days."""

    keep_done_days: Days = 30
    keep_dead_days: Days = 90

    @property
    def keep_for(self) -> dict[str, timedelta]:
        """Map each status to how long its rows are kept."""
        return {"done": timedelta(days=self.keep_done_days), "dead": timedelta(days=self.keep_dead_days)}


class WaitingSettings(Settings):
    """How long a row may wait before an operator is needed, in seconds."""

    alert_waiting_seconds: int = Field(300, ge=1, le=MAX_SECONDS)


class AddressSettings(Settings):
    """Settings for signing the address that meetergo posts to."""

    webhook_keys: WebhookKeys = Field(repr=False)
    webhook_account: Account = "default"


EXPECTED = {
    "bool": "it should be True or False",
    "int": "it should be a whole number",
    "date": "it should be a day such as 2027-01-31",
}
"""Type that a value cannot be read as -> what to write. It begins the names of pydantic's errors."""


def _error_message(fault: Any) -> str:
    message = EXPECTED.get(fault["type"].partition("_")[0], fault["msg"].removeprefix("Value error, "))
    if not fault["loc"]:
        return f"{message} (see .env.example)."
    name = str(fault["loc"][0]).upper()
    if fault["type"] == "missing":
        message = f"{name} is not set: put it into the environment or into .env (see .env.example)."
        if name == "REDIS_URL" and DEV_REDIS_SOCKET.parent.is_dir():
            message += " Or start `make run` in this folder: its Redis is used if REDIS_URL is not set."
        return message
    if str(fault["input"]).startswith(QUOTES):
        message = "it begins with a quote, which is part of the value here: leave the quotes out"
    return f"{name} cannot be used: {message} (see .env.example)."
