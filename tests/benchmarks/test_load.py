"""The load generator against a server with known behaviour: its report is what happened there."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.load import LoadMeasurement, here, requests, send
from benchmarks.rounds import Figure

WAIT = 0.02


class KnownServer(socketserver.ThreadingTCPServer):
    """Respond to each request after a fixed wait; the body decides how."""

    def __init__(self, closes: bool) -> None:
        self.closes, self.lines, self.bodies = closes, 0, list[bytes]()
        super().__init__(("127.0.0.1", 0), Answering)


class Answering(socketserver.StreamRequestHandler):
    server: KnownServer

    def handle(self) -> None:
        self.server.lines += 1
        while self.rfile.readline():
            length = 0
            while head := self.rfile.readline().strip():
                name, _, value = head.partition(b": ")
                length = int(value) if name == b"Content-Length" else length
            body = self.rfile.read(length)
            if body == b"hang up":
                return
            self.server.bodies.append(body)
            time.sleep(WAIT)
            status = "503 Service Unavailable" if body == b"refuse" else "200 OK"
            closing = "Connection: close\r\n" if self.server.closes else ""
            self.wfile.write(f"HTTP/1.1 {status}\r\n{closing}Content-Length: 2\r\n\r\n".encode())
            self.wfile.write(b"OK")  # separately: a response may arrive in pieces
            if self.server.closes:
                return


@contextmanager
def known_server(closes: bool = False) -> Iterator[KnownServer]:
    with KnownServer(closes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def fired(server: KnownServer, bodies: list[bytes], lines: int, rate: float = 0.0) -> LoadMeasurement:
    return send(here(server.server_address[1]), requests(bodies, "/here"), lines, rate)


def test_each_body_arrives_once_and_each_response_is_counted() -> None:
    bodies = [str(number).encode() for number in range(20)]
    with known_server() as server:
        measurement = fired(server, bodies, lines=4)
    assert sorted(server.bodies) == sorted(bodies)
    assert (measurement.statuses, len(measurement.milliseconds)) == ({200: 20}, 20)


def test_a_rejection_is_counted_by_its_status() -> None:
    with known_server() as server:
        measurement = fired(server, [b"take", b"refuse", b"take"], lines=1)
    assert measurement.statuses == {200: 2, 503: 1}


def test_a_latency_includes_the_servers_time() -> None:
    with known_server() as server:
        measurement = fired(server, [b"take"] * 10, lines=2)
    assert min(measurement.milliseconds) >= WAIT * 1000
    assert measurement.seconds >= 5 * WAIT
    assert measurement.rate <= 2 / WAIT


def test_an_open_loop_measures_from_the_scheduled_time() -> None:
    every = WAIT / 4
    with known_server() as server:
        measurement = fired(server, [b"take"] * 8, lines=1, rate=1 / every)
    for number, milliseconds in enumerate(measurement.milliseconds):
        assert milliseconds >= ((number + 1) * WAIT - number * every) * 1000


def test_an_open_loop_does_not_exceed_its_rate() -> None:
    with known_server() as server:
        measurement = fired(server, [b"take"] * 6, lines=6, rate=100)
    assert measurement.seconds >= 5 / 100 + WAIT


def test_connections_stay_open() -> None:
    with known_server() as server:
        fired(server, [b"take"] * 12, lines=3)
    assert server.lines == 3


def test_a_connection_closed_after_a_response_is_reopened() -> None:
    with known_server(closes=True) as server:
        measurement = fired(server, [b"take"] * 6, lines=2)
    assert (server.lines, measurement.statuses) == (6, {200: 6})


def test_a_connection_closed_before_a_response_is_an_error() -> None:
    with known_server() as server, pytest.raises(ConnectionError, match="before its answer"):
        fired(server, [b"take", b"hang up"], lines=1)


def test_percentiles_are_measured_latencies() -> None:
    measurement = LoadMeasurement(milliseconds=[float(number) for number in range(100, 0, -1)])
    assert (measurement.latency(50), measurement.latency(99)) == (50, 99)


def test_a_ratio_is_computed_per_round() -> None:
    ratio = Figure((10.0, 20.0, 30.0)).over(Figure((5.0, 10.0, 10.0)))
    assert ratio.values == (2.0, 2.0, 3.0)
    assert (ratio.median, ratio.spread) == (2.0, 0.5)
