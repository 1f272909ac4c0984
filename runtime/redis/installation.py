"""The installation: the prefix of its names in a shared Redis, derived from DATABASE_URL and DATABASE_SCHEMA."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url

from runtime.database_url import DEFAULT_SCHEMA

DEFAULT_PORT = "5432"
LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")
DIGEST_LENGTH = 10


def default_prefix(database_url: str, schema: str = DEFAULT_SCHEMA) -> str:
    """Return the prefix of this installation on a shared Redis: `mi-` and a digest of the location of its database.

    The receiver has to know it while the database is down, so the database is not asked. User, password and options
    do not count: they differ between processes of one installation, and change.
    """
    return f"mi-{_digest([*database_of(database_url), *_extra_schema(database_url, schema)])}"


def origin(prefix: str, database_url: str, schema: str = DEFAULT_SCHEMA) -> str:
    """Return the origin that a body in Redis carries: the prefix, and a digest of the database's name.

    Two installations that were given the same REDIS_PREFIX by mistake differ in it; a database that is reached through
    another host, such as a pooler, does not.
    """
    return f"{prefix}/{_digest([*database_of(database_url)[-1:], *_extra_schema(database_url, schema)])}"


def _extra_schema(database_url: str, schema: str) -> list[str]:
    """Return the schema of a further installation in a database.

    The first is in the default schema, or in `public`, as before there was DATABASE_SCHEMA: its names in Redis stay.
    """
    is_first = schema in (DEFAULT_SCHEMA, "public") or make_url(database_url).get_backend_name() == "sqlite"
    return [] if is_first else [schema]


def database_of(database_url: str) -> list[str]:
    """Return kind, servers and name of a database, or the kind and the absolute path of its file."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return ["sqlite", _file(url)]
    return [url.get_backend_name(), *_servers(url), _name(url)]


def _digest(parts: list[str]) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:DIGEST_LENGTH]


def _file(url: URL) -> str:
    path = (url.database or ":memory:").removeprefix("file:").partition("?")[0]
    return path if path == ":memory:" else str(Path(path).resolve())


def _name(url: URL) -> str:
    """Return the database's name. Without one, PostgreSQL's client uses the user's name."""
    return url.database or "".join(_split(url.query.get("dbname"))) or url.username or ""


def _servers(url: URL) -> list[str]:
    """Return each server as host:port, sorted: the order of a list of hosts changes with their roles."""
    hosts = _split(url.host) or _split(url.query.get("host")) or [""]
    ports = [str(url.port)] if url.port else _split(url.query.get("port")) or [DEFAULT_PORT]
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return sorted({_server(host, port) for host, port in zip(hosts, ports, strict=False)})


def _server(host: str, port: str) -> str:
    name, _, own_port = host.rpartition(":") if host.count(":") == 1 else (host, "", "")
    name = name.lower() if not name.startswith("/") else name
    return f"{'localhost' if name in LOCAL_HOSTS else name}:{own_port or port or DEFAULT_PORT}"


def _split(value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else list(value or ())
    return [word for part in values for word in part.split(",")]
