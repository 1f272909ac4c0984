"""The complete content of Redis, with RQ's values unpacked."""

import base64
import zlib
from collections.abc import Iterator

from redis import Redis


def redis_dump(redis: Redis) -> bytes:
    """Return all keys and values."""
    return b"\n".join(key + b" " + b" ".join(map(_with_decompressed, _values(redis, key))) for key in redis.scan_iter())


def _values(redis: Redis, key: bytes) -> list[bytes]:
    kind = redis.type(key)
    if kind == b"hash":
        return [part for pair in redis.hgetall(key).items() for part in pair]
    if kind == b"list":
        return redis.lrange(key, 0, -1)
    if kind == b"string":
        return [redis.get(key) or b""]  # it may have expired just now
    if kind == b"stream":
        return list(_fields(redis, key))
    return list(redis.smembers(key) if kind == b"set" else redis.zrange(key, 0, -1))


def _fields(redis: Redis, key: bytes) -> Iterator[bytes]:
    for _, entry in redis.xrange(key):
        for pair in entry.items():
            yield from pair


def _with_decompressed(value: bytes) -> bytes:
    """Unpack jobs, which are compressed, and errors, which are also base64. Both forms count."""
    for decompress in (zlib.decompress, lambda text: zlib.decompress(base64.b64decode(text, validate=True))):
        try:
            return value + b" " + decompress(value)
        except (zlib.error, ValueError):
            continue
    return value
