"""A server that answers byte by byte, and never comes to an end."""

import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat


@contextmanager
def slow_server(
    *lines: bytes, drip: bytes = b"x", every: float = 0.02, tls: ssl.SSLContext | None = None, waits_for: int = 0
) -> Iterator[str]:
    """Takes connections, says some lines at once, and drips from then on; its `host:port`.

    Args:
        lines: said one after the other, each after something was read, but the first one.
        drip: what it repeats, byte by byte.
        every: seconds between two bytes.
        tls: an SSLContext, to speak TLS from the first byte.
        waits_for: bytes to read before the first line.
    """
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        threads: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                connection.settimeout(1)
                answers = tls.wrap_socket(connection, server_side=True) if tls else connection
                if waits_for:
                    answers.recv(waits_for)
                for number, line in enumerate(lines):
                    if number:
                        answers.recv(65536)
                    answers.sendall(line)
                _send_slowly(answers, chain.from_iterable(repeat(drip)), every, ended)

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            acceptor.join()
            for thread in threads:
                thread.join()


def _send_slowly(connection: socket.socket, drops: Iterable[int], every: float, ended: threading.Event) -> None:
    for drop in drops:
        if ended.wait(every):
            return
        connection.sendall(bytes([drop]))
