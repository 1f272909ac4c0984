"""A TCP proxy whose target can be moved while old connections stay, as DNS or a cloud endpoint does in a failover."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

Address = int | str


class Proxy:
    """Forward connections.

    Args:
        target: a local port or the path of a socket; a change applies to new connections.
    """

    def __init__(self, target: Address) -> None:
        self.target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop all connections; new ones are accepted."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for connection in pair:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = _connect(self.target)
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                Thread(target=forward, args=(source, sink), daemon=True).start()


def _connect(target: Address) -> socket.socket:
    if isinstance(target, int):
        connection = socket.create_connection(("127.0.0.1", target), 3)
    else:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(target)
    connection.settimeout(None)
    return connection


def forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for connection in (source, sink):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    source.close()


@contextmanager
def proxy(target: Address) -> Iterator[Proxy]:
    """Run a proxy until the block ends."""
    running_proxy = Proxy(target)
    try:
        yield running_proxy
    finally:
        running_proxy.close()
