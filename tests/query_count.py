"""Count queries of the database and Redis."""

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from select import select
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, event

RECEIVE_BYTES = 64 * 1024
BEGIN = re.compile(r"\s*BEGIN\b", re.IGNORECASE)
"""Not counted: on SQLite it is our statement, on PostgreSQL the driver's."""
KIND = re.compile(r"^\s*(?:UPDATE [\w.]+|\w+(?: SAVEPOINT)?)|\b(?:INTO|FROM) [\w.]+")


@dataclass
class QueryCount:
    """The recorded queries.

    Attributes:
        statements: the SQL, in order; `executemany` counts once.
        commits: number of commits.
        redis: round trips; a pipeline is one.
    """

    statements: list[str] = field(default_factory=list)
    commits: int = 0
    redis: int = 0

    def __str__(self) -> str:
        """Count each statement."""
        kinds = Counter(" ".join(KIND.findall(statement)) for statement in self.statements)
        return "\n".join(f"{number} x {kind}" for kind, number in kinds.items())

    @property
    def totals(self) -> tuple[int, int, int]:
        """Return the numbers of statements, commits and round trips to Redis."""
        return len(self.statements), self.commits, self.redis


@contextmanager
def count_queries(proxy: "RedisProxy") -> Iterator[QueryCount]:
    """Count the queries meanwhile: of any database of this process, and of Redis through the proxy."""
    count, before = QueryCount(), proxy.round_trips

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not BEGIN.match(statement):
            count.statements.append(statement)

    def on_commit(_connection: Any) -> None:
        count.commits += 1

    listeners = {"before_cursor_execute": on_statement, "commit": on_commit}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield count
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
        count.redis = proxy.round_trips - before


class RedisProxy(ThreadingTCPServer):
    """A proxy in front of Redis that counts round trips.

    Attributes:
        round_trips: so often began somebody to ask who had been answered before.
    """

    daemon_threads = True

    def __init__(self, redis_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyConnection)
        parts = urlsplit(redis_url)
        self.upstream = (parts.hostname, parts.port)
        self.url = f"redis://127.0.0.1:{self.server_address[1]}{parts.path}"
        self.round_trips = 0


class _ProxyConnection(BaseRequestHandler):
    server: RedisProxy

    def handle(self) -> None:
        with socket.create_connection(self.server.upstream) as redis:
            is_request = False
            while True:
                for socket_ in select([self.request, redis], [], [])[0]:
                    data = socket_.recv(RECEIVE_BYTES)
                    if not data:
                        return
                    if socket_ is self.request and not is_request:
                        self.server.round_trips += 1
                    is_request = socket_ is self.request
                    (redis if is_request else self.request).sendall(data)


@contextmanager
def redis_proxy(redis_url: str) -> Iterator[RedisProxy]:
    """Run such a proxy until the block ends."""
    with RedisProxy(redis_url) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
