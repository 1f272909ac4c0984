"""The database URL: its validation, and its options as the driver takes them."""

import re
from typing import Any
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

EXAMPLES = "it should look like 'sqlite:///file' or 'postgresql://user:password@host:5432/database'"
ESCAPES = "in a password, write '@' as %40, ':' as %3A, '/' as %2F, '#' as %23, '%' as %25"
POSTGRESQL, SQLITE = "postgresql+psycopg", "sqlite"
DEFAULT_SCHEMA = "meetergo_inbox"
"""Schema of our tables on PostgreSQL, unless DATABASE_SCHEMA names another. See `check_schema`."""
ANY_DRIVER = re.compile(r"^(?:jdbc:)?postgres(?:ql)?(?:\+[a-z0-9_]+)?://", re.IGNORECASE)
"""What a URL of PostgreSQL begins with: a platform shares its own, which may name the driver that the platform uses."""
SEVERAL_HOSTS = re.compile(rf"^({re.escape(POSTGRESQL)}://(?:.*@)?)([^@/?\[]+:\d+,[^@/?\[]+)(/[^?]*)?(?:\?(.*))?$")
"""A URL whose hosts have a port each, as libpq takes it: `host1:5432,host2:5432/database`."""
SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")


def _prepare_threshold(text: str) -> int | None:
    """Parse how often a statement runs before it is prepared; None for never, as behind PgBouncer."""
    if text.lower() in ("none", "never"):
        return None
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


PREPARE_THRESHOLD = "prepare_threshold"
"""The only option of the driver that libpq does not know."""


def check_database_url(url: str) -> str:
    """Check a URL and all its options, and return it with the driver that we use.

    Raises:
        ValueError: the URL cannot be used; the message says why.
    """
    url = ANY_DRIVER.sub(f"{POSTGRESQL}://", url)
    if not url.isprintable():
        raise ValueError("it holds a line end or a control character")
    url = SEVERAL_HOSTS.sub(_hosts_as_options, url)
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError, TypeError):
        raise ValueError(f"{EXAMPLES}; {ESCAPES}" if url.startswith(POSTGRESQL) else EXAMPLES) from None
    if parts.drivername == SQLITE:
        _check_sqlite(url, parts)
        return url
    if parts.drivername != POSTGRESQL:
        raise ValueError(EXAMPLES)
    if parts.host and parts.host.upper().startswith("%2F"):  # a socket's folder, as libpq takes it
        parts = parts.set(host="").update_query_dict({"host": unquote(parts.host)})
        url = parts.render_as_string(hide_password=False)
    _check_postgresql(parts)
    return url


def names_several_hosts(url: URL) -> bool:
    """Whether a checked URL names several hosts, such as a server and its standby."""
    hosts = url.query.get("host", "")
    return isinstance(hosts, tuple) or "," in f"{url.host}{hosts}"


def _hosts_as_options(url: re.Match[str]) -> str:
    """Name each host by an option, as SQLAlchemy takes them."""
    start, hosts, path, query = url.groups()
    options = [*(f"host={host}" for host in hosts.split(",")), *([query] if query else [])]
    return f"{start}{path or '/'}?{'&'.join(options)}"


def check_schema(name: str) -> str:
    """Check the name of a schema and return it.

    Raises:
        ValueError: PostgreSQL would not take it as it is.
    """
    if not SCHEMA.fullmatch(name) or name == "information_schema":
        raise ValueError(
            "it should be 1 to 63 lowercase letters, digits or '_', begin with no digit, and be no schema of"
            " PostgreSQL's own"
        )
    return name


def driver_options(url: URL) -> dict[str, Any]:
    """Return the options of a checked URL that the driver does not take as text."""
    text = url.query.get(PREPARE_THRESHOLD)
    return {} if text is None else {PREPARE_THRESHOLD: _prepare_threshold(str(text))}


def _check_sqlite(url: str, parts: URL) -> None:
    if "?" in url:  # without a "=", what follows is no option to SQLAlchemy, and no part of the name either
        raise ValueError("an SQLite URL takes no options: remove what follows the '?'")
    if parts.host or not parts.database or parts.database == ":memory:":
        raise ValueError("it names no file, but all processes must share one: write 'sqlite:///data/inbox.db'")
    if parts.database.startswith(("~/", "file:")):
        raise ValueError(
            "neither '~' nor 'file:' has a meaning in it: write the whole path, 'sqlite:////path/inbox.db'"
        )


def _check_postgresql(parts: URL) -> None:
    if "@" in f"{parts.host}{parts.database}":  # a '/' in a password ends it where the database's name begins
        raise ValueError(f"{EXAMPLES}; {ESCAPES}")
    if parts.port is not None and not 0 < parts.port < 65536:
        raise ValueError("its port should be a number from 1 to 65535")
    try:
        parts.get_dialect()().create_connect_args(parts)
    except ArgumentError:
        raise ValueError("its hosts and ports do not match") from None
    try:
        driver_options(parts)
    except (ValueError, OverflowError):
        raise ValueError("its option prepare_threshold should be a number, or none to prepare nothing") from None
    for name, value in parts.query.items():
        if isinstance(value, tuple) and name not in REPEATABLE:
            raise ValueError(f"its option {name} is there twice")
        if name != PREPARE_THRESHOLD:
            _check_option(name, ",".join(value) if isinstance(value, tuple) else value)


def _check_option(name: str, value: str) -> None:
    """Check that libpq accepts an option, including values that it would check only when it connects."""
    from psycopg import Error  # late: see runtime/postgresql/driver.py
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        conninfo_to_dict(make_conninfo(**{name: value}))
    except Error:
        raise ValueError(f"it has an option unknown to PostgreSQL's driver: {name[:40]}") from None
    if name == "client_encoding" and value.upper() not in UTF8:
        raise ValueError("its option client_encoding should be UTF8: any other cannot hold every name")
    if name == "options":
        _check_settings(value)
    if name in NUMERIC and not value.strip().lstrip("+-").isdigit():
        raise ValueError(f"its option {name} should be a number")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"its option {name} should be one of: {', '.join(CHOICES[name])}")


def _check_settings(options: str) -> None:
    """Check that `options` change no setting whose other values the driver cannot read."""
    from runtime.postgresql.pooler import split_options  # late: most URLs have none

    changed = [name for name in split_options(options)[0] if name.lower() in NOT_CHANGED]
    if changed:
        raise ValueError(f"its options set {changed[0]}, which our connections need as it is: remove it")


UTF8 = ("UTF8", "UTF-8", "UNICODE")
NOT_CHANGED = {
    "array_nulls",
    "bytea_output",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "standard_conforming_strings",
}
"""Settings of `SESSION_SETTINGS` that a URL may not change."""
REPEATABLE = {"host", "port"}
"""Options that may be repeated: a server and its standbys."""
CHOICES = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
NUMERIC = {
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
}
