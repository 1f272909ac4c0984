"""Slow clients: they send their head at once, and then their body byte by byte for as long as anybody looks."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

from benchmarks import machine
from benchmarks.door.server import Failed, Running

EVERY_SECONDS = 0.05
STATED = 100_000
"""Bytes that each of them says it will send."""


@contextmanager
def slow_clients(server: Running, path: str, count: int) -> Iterator[None]:
    """So many of them, until the block ends.

    Raises:
        Failed: one was answered or hung up on, so that what was measured meanwhile says nothing.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {STATED}\r\n\r\n".encode()
    with ExitStack() as stack:
        stop = Event()
        lines = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(count)]
        for line in lines:
            line.sendall(head)
            line.setblocking(False)
        with machine.on(machine.LOAD):
            thread = Thread(target=_dribble, args=(lines, stop), daemon=True)
            thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        for line in lines:
            _must_be_open(line)


def _dribble(lines: list[socket.socket], stop: Event) -> None:
    while not stop.wait(EVERY_SECONDS):
        for line in lines:
            try:
                line.send(b" ")
            except OSError:
                return  # seen at the end: it is not open any more


def _must_be_open(line: socket.socket) -> None:
    try:
        heard = line.recv(1000)
    except BlockingIOError:
        return
    except OSError as error:
        heard = str(error).encode()
    raise Failed(f"a slow client was not let finish: {heard[:100]!r}")
