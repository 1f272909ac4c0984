"""Slow clients: they send their head at once, and then their body byte by byte. Who is given up comes again."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event, Thread

from benchmarks import machine
from benchmarks.door.server import Failed, Running

EVERY_SECONDS = 0.05
GIVEN_UP = b"HTTP/1.1 408 "
STATED = 100_000
"""Bytes that each of them says it will send."""


@contextmanager
def slow_clients(server: Running, path: str, count: int) -> Iterator[None]:
    """So many of them, until the block ends.

    Raises:
        Failed: one was answered otherwise than that it is too slow, so that what was measured meanwhile says nothing.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {STATED}\r\n\r\n".encode()
    with ExitStack() as stack:
        stop = Event()
        clients = [stack.enter_context(closing(_Client(server.port, head))) for _ in range(count)]
        with machine.on(machine.LOAD):
            thread = Thread(target=_dribble, args=(clients, stop), daemon=True)
            thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
    for heard in (heard for client in clients for heard in client.heard):
        if not heard.startswith(GIVEN_UP):
            raise Failed(f"a slow client was not let finish: {heard[:100]!r}")


def _dribble(clients: "list[_Client]", stop: Event) -> None:
    while not stop.wait(EVERY_SECONDS):
        for client in clients:
            client.say_more()


class _Client:
    """One of them.

    Attributes:
        heard: what it was told each time when it was given up.
    """

    def __init__(self, port: int, head: bytes) -> None:
        self._port, self._head = port, head
        self.heard: list[bytes] = []
        self._come()

    def say_more(self) -> None:
        """One byte; or it comes again."""
        try:
            self.heard.append(self._line.recv(1000))
        except BlockingIOError:
            with suppress(OSError):  # the next call hears why
                self._line.send(b" ")
            return
        except OSError as error:
            self.heard.append(str(error).encode())
        self.close()
        self._come()

    def close(self) -> None:
        """For good."""
        self._line.close()

    def _come(self) -> None:
        self._line = socket.create_connection(("127.0.0.1", self._port))
        self._line.sendall(self._head)
        self._line.setblocking(False)
