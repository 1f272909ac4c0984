"""Slow clients: they send their head at once, and then their body byte by byte; dropped ones reconnect."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event, Thread

from benchmarks import machine
from benchmarks.receiver.server import Running, ServerFailed

EVERY_SECONDS = 0.05
REQUEST_TIMEOUT = b"HTTP/1.1 408 "
CONTENT_LENGTH = 100_000
"""Announced length of the body, in bytes."""


@contextmanager
def slow_clients(server: Running, path: str, count: int) -> Iterator[None]:
    """Run N of them until the block ends.

    Raises:
        Failed: one was answered otherwise than that it is too slow, so that what was measured meanwhile says nothing.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {CONTENT_LENGTH}\r\n\r\n".encode()
    with ExitStack() as stack:
        stop = Event()
        clients = [stack.enter_context(closing(_Client(server.port, head))) for _ in range(count)]
        with machine.on(machine.LOAD):
            thread = Thread(target=_send_slowly, args=(clients, stop), daemon=True)
            thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
    for responses in (responses for client in clients for responses in client.responses):
        if not responses.startswith(REQUEST_TIMEOUT):
            raise ServerFailed(f"a slow client was not let finish: {responses[:100]!r}")


def _send_slowly(clients: "list[_Client]", stop: Event) -> None:
    while not stop.wait(EVERY_SECONDS):
        for client in clients:
            client.send_byte()


class _Client:
    """One slow client.

    Attributes:
        responses: the response each time it was dropped.
    """

    def __init__(self, port: int, head: bytes) -> None:
        self._port, self._head = port, head
        self.responses: list[bytes] = []
        self._connect()

    def send_byte(self) -> None:
        """Send one byte, or reconnect."""
        try:
            self.responses.append(self._line.recv(1000))
        except BlockingIOError:
            with suppress(OSError):  # the next call sees why
                self._line.send(b" ")
            return
        except OSError as error:
            self.responses.append(str(error).encode())
        self.close()
        self._connect()

    def close(self) -> None:
        """Close it."""
        self._line.close()

    def _connect(self) -> None:
        self._line = socket.create_connection(("127.0.0.1", self._port))
        self._line.sendall(self._head)
        self._line.setblocking(False)
