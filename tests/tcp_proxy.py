"""A TCP line whose far end can be moved while old connections stay: what DNS or a cloud's endpoint do at a failover."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

End = int | str


class Proxy:
    """Passes on what comes to its port.

    Args:
        target: a port of this machine, or the path of a socket; it may be changed, for new connections.
    """

    def __init__(self, target: End) -> None:
        self.target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends all connections; new ones are taken."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """For good."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = _connect(self.target)
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                Thread(target=_pump, args=(source, sink), daemon=True).start()


def _connect(target: End) -> socket.socket:
    if isinstance(target, int):
        end = socket.create_connection(("127.0.0.1", target), 3)
    else:
        end = socket.socket(socket.AF_UNIX)
        end.connect(target)
    end.settimeout(None)
    return end


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()


@contextmanager
def proxy(target: End) -> Iterator[Proxy]:
    """One, until the block ends."""
    line = Proxy(target)
    try:
        yield line
    finally:
        line.close()
