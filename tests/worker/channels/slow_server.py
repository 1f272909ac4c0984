"""A server that responds byte by byte, without end."""

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
    """Accept connections, send some lines at once, and then drip; yield the `host:port`.

    Args:
        lines: sent one after the other, each but the first after something was read.
        drip: repeated byte by byte.
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
