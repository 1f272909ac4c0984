"""Raw connections to the real server process: broken, cut off, pipelined, slow, or never finished requests."""

import json
import socket
import struct
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random

from runtime.signed_address import WEBHOOK_PATH
from tests.fuzz.corpus import WORDS, load
from tests.fuzz.mutation import Mutator
from tests.fuzz.report import Report
from tests.receiver.conftest import ADDRESS
from tests.receiver.process import Process, receiver_process, request

WRONG = f"{WEBHOOK_PATH}/default.{'A' * 43}"
LINES: list[str] = load("lines")
LOOK_EVERY = 100
MOST_UNFINISHED = 40
SILENCE_SECONDS = 2.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close at once, and discard what is left."""


def fuzz_lines(seed: int, lines: int, folder: Path, redis_url: str) -> Report:
    """First send requests without the address, of which nothing is stored; then requests with it."""
    report, rng = Report("lines"), Random(seed)
    with receiver_process(folder, redis_url) as server:
        _run_client(report, server, RawClient(rng, WRONG), lines // 2)
        if server.stored():
            report.violate("stored what strangers sent", server.stored())
        accepted = _run_client(report, server, RawClient(rng, ADDRESS), lines - lines // 2)
        missing = accepted - {sha256(body).hexdigest() for body in server.stored()}
        if missing or not accepted:
            report.violate("what was acknowledged is not stored, or nothing was", missing)
        printed = server.printed()
        if "Traceback" in printed or "panicked" in printed:
            report.violate("the server printed a failure", printed[-500:])
        if server.stop() != 0:
            report.violate("the server did not end well", server.popen.returncode)
    return report


class RawClient:
    """Builds broken requests.

    Args:
        rng: decides which.
        address: the path to post to.
    """

    def __init__(self, rng: Random, address: str) -> None:
        self.rng = rng
        self._mutator = Mutator(rng, [*WORDS, "\r\n\r\n", "HTTP/1.1", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"])
        self._address = address

    def words(self) -> bytes:
        """Build one or several requests for one connection, most of them with mistakes."""
        return b"".join(self._request() for _ in range(self.rng.choice([1, 1, 1, 2, 5])))

    def _request(self) -> bytes:
        body = json.dumps({"n": self.rng.getrandbits(64)})
        text: str = self.rng.choice(LINES)
        places = dict(address=self._address, length=str(len(body)), size=f"{len(body):x}", body=body)
        for name, value in places.items():
            text = text.replace(f"{{{name}}}", value)
        return self._mutator.bytes(text.encode("latin-1")) if self.rng.randrange(2) else text.encode("latin-1")

    def pieces(self, words: bytes) -> list[bytes]:
        """Split the bytes into one or several pieces."""
        cuts = sorted(self.rng.randrange(len(words) + 1) for _ in range(self.rng.choice([0, 0, 1, 3])))
        return [words[start:end] for start, end in zip([0, *cuts], [*cuts, len(words)], strict=True)]


def _run_client(report: Report, server: Process, client: RawClient, lines: int) -> set[str]:
    """Return the ids of acknowledged deliveries."""
    accepted: set[str] = set()
    unfinished: list[socket.socket] = []
    for number in range(lines):
        words = client.words()
        report.inputs += 1
        if client.rng.randrange(20):
            accepted |= _judge(report, _exchange(server, client, words), words)
        else:
            unfinished.append(_begin(server, client, words))
        for line in unfinished[:-MOST_UNFINISHED]:
            line.close()
        del unfinished[:-MOST_UNFINISHED]
        if number % LOOK_EVERY == 0:
            report.inputs -= 1
            report.run(partial(_ask_for_health, server), "/healthz")
    for line in unfinished:
        line.close()
    return accepted


def _exchange(server: Process, client: RawClient, words: bytes) -> bytes:
    """Send the pieces and read the responses; or drop the connection before."""
    with server.connect() as line:
        line.settimeout(SILENCE_SECONDS)
        try:
            for piece in client.pieces(words):
                line.sendall(piece)
                time.sleep(client.rng.choice([0, 0, 0, 0.003]))
            choice = client.rng.randrange(10)
            if choice == 0:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if choice <= 1:
                return b""
            line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it closed the connection: read its response
        return _receive(line)


def _begin(server: Process, client: RawClient, words: bytes) -> socket.socket:
    """Send a part, and stay silent."""
    line = server.connect()
    line.sendall(words[: client.rng.randrange(len(words) + 1)])
    return line


def _receive(line: socket.socket) -> bytes:
    received = b""
    try:
        while part := line.recv(65536):
            received += part
    except (ConnectionResetError, BrokenPipeError):
        pass
    except TimeoutError:
        received += b"HTTP/1.1 silence"
    return received


def _judge(report: Report, received: bytes, words: bytes) -> set[str]:
    accepted = set()
    answers = received.split(b"HTTP/1.1 ")[1:] or [b"no answer"]
    for answer in answers:
        status = answer[:3].decode("latin-1") if answer[:3].isdigit() else answer.decode("latin-1")
        report.outcomes[status] += 1
        if status.startswith("5"):
            report.violate(f"answered {status}", words)
        _, found, rest = answer.partition(b'"status":"accepted","delivery":"')
        if found:
            accepted.add(rest[:64].decode())
    return accepted


def _ask_for_health(server: Process) -> None:
    answer = server.send_raw(request(path="/healthz", method="GET"))
    assert answer.startswith(b"HTTP/1.1 200 "), answer
