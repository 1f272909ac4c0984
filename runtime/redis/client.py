"""Redis connections: URLs of every kind, and a connection that is dropped when its server was demoted."""

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from redis import ConnectionPool, Redis, UnixDomainSocketConnection
from redis._parsers import BaseParser, _RESP2Parser, _RESP3Parser
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import ConnectionError as RedisUnavailable
from redis.exceptions import ResponseError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

REDIS_TIMEOUT_SECONDS = 1
DEFAULT_PREFIX = "meetergo-inbox"
SENTINEL_PORT = 26379
SENTINEL_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
NOT_WRITABLE = ("READONLY", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "UNBLOCKED", "MISCONF", "LOADING", "OOM")
"""Replies of a server that was demoted, lost its replicas or disk, or is full. A failover leads its name to another."""
URL_OPTIONS = frozenset(
    """client_name connection_class db decode_responses encoding encoding_errors health_check_interval host
    max_connections password path port protocol retry_on_timeout socket_connect_timeout socket_keepalive
    socket_read_size socket_timeout username""".split()  # noqa: SIM905 - a list would take ten more lines
)
"""Options that a URL may hold, besides those of TLS. redis-py takes any of its arguments from a URL, as text: one that
should be an object, such as `retry`, fails at the first command."""
KEEPALIVE: Mapping[int, int] = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""In seconds and tries: a vanished machine is noticed within half a minute, even on a connection that only waits."""
NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)
"""Redis Enterprise announces its maintenance, if asked. All others refuse that, at each new connection."""


class NotWritable(RedisUnavailable):
    """The server answers but is not writable. Its connection is closed."""


class _NotWritableErrors(BaseParser):
    """A parser to which the replies of `NOT_WRITABLE` are the loss of the connection, upon which redis-py closes it.

    Otherwise a pool would keep the connection to a server that was demoted, since it still answers.
    """

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """Return the exception for an error reply."""
        if any(reply in response for reply in NOT_WRITABLE):
            return NotWritable(response)
        error: Exception = super().parse_error(response)  # type: ignore[no-untyped-call] # redis-py has types, but not here
        return error


class _Resp2(_NotWritableErrors, _RESP2Parser):
    pass


class _Resp3(_NotWritableErrors, _RESP3Parser):
    pass


class _ClosesOnErrors(SentinelManagedConnection):
    """Closes itself on each error.

    By default it stays open when a signal interrupts it: the next command would read the answer to the one before.
    """

    def read_response(self, disable_decoding: bool = False, **options: Any) -> Any:
        """Read the reply to a command."""
        options.setdefault("disconnect_on_error", True)
        return super().read_response(disable_decoding, **options)


class _ClosesOnErrorsTls(_ClosesOnErrors, SentinelManagedSSLConnection):
    pass


class InstallationRedis(Redis):
    """A Redis client that knows the key prefix of its installation."""

    prefix = DEFAULT_PREFIX
    origin = ""


def prefix_of(redis: Redis) -> str:
    """Return the prefix of the keys, queues and jobs of this client's installation."""
    return getattr(redis, "prefix", DEFAULT_PREFIX)


def key_of(redis: Redis, *parts: str) -> str:
    """Return the prefixed name of one of our own keys."""
    return ":".join((prefix_of(redis), *parts))


def probe_write(redis: Redis) -> None:
    """Check that Redis can be written as RQ writes it: a replica or a full one answers a ping, too.

    Keys of all kinds are written in a transaction, as for a job: some proxies and rights of users exclude these, and a
    Redis Cluster those with keys of different slots.

    Raises:
        RedisError: it cannot.
    """
    kinds = "string", "hash", "set", "sorted-set", "list", "other-list"
    string, hash_name, set_name, sorted_set, list_name, other_list = keys = [
        key_of(redis, "probe", kind) for kind in kinds
    ]
    with redis.pipeline() as pipeline:
        pipeline.set(string, 1)
        pipeline.hset(hash_name, "field", "value")
        pipeline.sadd(set_name, "member")
        pipeline.zadd(sorted_set, {"member": 1})
        pipeline.rpush(list_name, "element")
        pipeline.blmove(list_name, other_list, 1)  # inside a transaction it does not wait
        pipeline.expire(other_list, 1)
        pipeline.delete(*keys)
        pipeline.execute()


def eviction_policy(redis: Redis) -> str | None:
    """Return the policy, such as `allkeys-lru`, by which a full Redis evicts keys that do not expire.

    None if it evicts none, or if the user may not ask.

    Raises:
        RedisError: Redis is down.
    """
    try:
        memory = redis.info("memory")
    except ResponseError:
        return None
    policy = str(memory.get("maxmemory_policy", ""))
    return policy if memory.get("maxmemory") and policy.startswith("allkeys-") else None


def origin_of(redis: Redis) -> str:
    """Return the origin that this client's installation writes on deferred bodies."""
    return getattr(redis, "origin", "")


def connect(url: str, prefix: str = DEFAULT_PREFIX, origin: str = "") -> InstallationRedis:
    """Open a client with short timeouts: a trigger must not hang on a Redis that never answers.

    Args:
        url: `redis://`, `rediss://` or `unix://` as redis-py reads it, or `redis+sentinel://host:26379,.../service/0`.
        prefix: prefix of this installation's names.
        origin: origin of its deferred bodies; see `installation.origin`.

    Raises:
        ValueError: the URL has none of these forms.
    """
    client = InstallationRedis(connection_pool=_pool(url))
    client.prefix, client.origin = prefix, origin
    return client


def _pool(url: str) -> ConnectionPool:
    options: dict[str, Any] = {
        "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
        "socket_timeout": REDIS_TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,  # otherwise two commands of each new connection say which library it is
        "maint_notifications_config": NO_NOTIFICATIONS,
    }
    if urlsplit(url).scheme in SENTINEL_SCHEMES:
        return _sentinel_pool(url, options)
    url_options = _parse_url(url)
    if url_options.get("connection_class") is not UnixDomainSocketConnection:
        options |= _keepalive()
    return ConnectionPool(parser_class=_parser(url_options), **options | url_options)


def _parse_url(url: str) -> dict[str, Any]:
    options = dict(parse_url(url))
    for name in options.keys() - URL_OPTIONS:
        if not name.startswith(("ssl_", "sentinel_")):
            raise TypeError(f"unexpected keyword argument '{name}'")
    return options


def _parser(url_options: Mapping[str, Any]) -> type[BaseParser]:
    return _Resp2 if str(url_options.get("protocol")) == "2" else _Resp3


def _sentinel_pool(url: str, options: Mapping[str, Any]) -> ConnectionPool:
    """Open a pool by Sentinel. User and password in the URL are the server's; those of sentinels are options of it."""
    parts = urlsplit(url)
    scheme = SENTINEL_SCHEMES[parts.scheme]
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, number = parts.path.strip("/").partition("/")
    if not service or not hosts or not (number or "0").isdecimal():
        raise ValueError("a URL of Sentinel names hosts, a service and perhaps the number of a database")
    bare = urlunsplit((scheme, f"{login}@localhost" if login else "localhost", f"/{number or 0}", parts.query, ""))
    url_options = _parse_url(bare)
    url_options.pop("host", None)
    connection = _ClosesOnErrorsTls if url_options.pop("connection_class", None) else _ClosesOnErrors
    sentinel_options = {
        name.removeprefix("sentinel_"): url_options.pop(name)
        for name in list(url_options)
        if name.startswith("sentinel_")
    }
    manager = Sentinel(
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs={**options, **_keepalive(), **sentinel_options, **_tls(sentinel_options)},
    )
    client: Redis = manager.master_for(
        unquote(service),
        connection_class=connection,
        parser_class=_parser(url_options),
        **{**options, **_keepalive(), **url_options},
    )
    return client.connection_pool


def _tls(sentinel_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the TLS option of connections to sentinels, which use none unless `sentinel_ssl=true` is given."""
    return {"ssl": str(sentinel_options["ssl"]).lower() in ("1", "true", "yes")} if "ssl" in sentinel_options else {}


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError("a URL of Sentinel names hosts and a service")
    return parts.hostname, parts.port or SENTINEL_PORT


def _keepalive() -> dict[str, Any]:
    return {"socket_keepalive": True, "socket_keepalive_options": dict(KEEPALIVE)}
