"""`python -m tests.faults.slow_clients KIND PLACE PATH COUNT SECONDS`: a crowd that holds the receiver up if it can.

Each stranger comes again when it was dropped. Meanwhile somebody asks for the receiver's health, again and again, and
how long the answers took is printed as JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count as count_up
from typing import Any

PATIENCE_SECONDS = 30
ASK_EVERY_SECONDS = 0.25
DRIP_EVERY_SECONDS = 1.0
NUMBERS = count_up()


@dataclass
class HealthWatch:
    """The result.

    Attributes:
        asked: how often each path was asked for.
        slowest: path -> the longest that its answer took, in seconds.
        strange: answers that were no answer -> how often.
        dropped: how many lines the receiver closed.
    """

    asked: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    strange: Counter[str] = field(default_factory=Counter)
    dropped: int = 0

    def note(self, path: str, seconds: float) -> None:
        """One response."""
        self.asked[path] += 1
        self.slowest[path] = max(self.slowest.get(path, 0.0), seconds)


@dataclass(frozen=True)
class Target:
    """The receiver's address, and the deadline."""

    host: str
    port: int
    path: str
    ends: float

    def head(self, method: str, path: str, *headers: str) -> bytes:
        """The head of a request."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {self.host}", *headers, "", ""]).encode()


async def watch(kind: str, target: Target, count: int) -> HealthWatch:
    """Start the clients, and watch until the deadline."""
    seen = HealthWatch()
    slow_clients = [asyncio.create_task(_reconnect(CLIENT_KINDS[kind], target, seen)) for _ in range(count)]
    asking = [asyncio.create_task(_ask(path, target, seen)) for path in ("/healthz", "/readyz")]
    await asyncio.gather(*asking)
    for slow_client in slow_clients:
        slow_client.cancel()
    await asyncio.gather(*slow_clients, return_exceptions=True)
    return seen


SlowClient = Callable[[Target, HealthWatch, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def _reconnect(slow_client: SlowClient, target: Target, seen: HealthWatch) -> None:
    while time.monotonic() < target.ends:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(target.host, target.port)
            try:
                await slow_client(target, seen, reader, writer)
                seen.dropped += 1
            finally:
                writer.close()
        await asyncio.sleep(0.05)


async def _half_a_body(
    target: Target, seen: HealthWatch, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(target.head("POST", target.path, "Content-Length: 1000") + b'{"a":')
    await reader.read()


async def _nothing(
    target: Target, seen: HealthWatch, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.read()


async def _drips(target: Target, seen: HealthWatch, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Half of them drip a body, the others a head."""
    head = target.head("POST", target.path, "Content-Length: 1000")
    writer.write(head if next(NUMBERS) % 2 else head[:20])
    dropped = asyncio.create_task(reader.read())
    while not dropped.done():
        writer.write(b"x")
        await asyncio.wait([dropped], timeout=DRIP_EVERY_SECONDS)


async def _asks(target: Target, seen: HealthWatch, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _ask_on(reader, writer, "/readyz", target, seen)


CLIENT_KINDS: dict[str, SlowClient] = {"halves": _half_a_body, "idle": _nothing, "dripping": _drips, "readyz": _asks}


async def _ask(path: str, target: Target, seen: HealthWatch) -> None:
    """Poll on a new connection each time, as a monitor does; connecting counts."""
    while time.monotonic() < target.ends:
        started = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection(target.host, target.port)
            await _ask_on(reader, writer, path, target, seen, started)
            writer.close()
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            seen.strange[f"{path}: {type(error).__name__}"] += 1
        await asyncio.sleep(ASK_EVERY_SECONDS)


async def _ask_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    path: str,
    target: Target,
    seen: HealthWatch,
    started: float | None = None,
) -> None:
    started = time.monotonic() if started is None else started
    writer.write(target.head("GET", path, "Connection: close"))
    answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    seen.note(path, time.monotonic() - started)
    if not answer.startswith(b"HTTP/1.1 200 "):
        seen.strange[f"{path}: {answer[:12].decode('latin-1')}"] += 1


if __name__ == "__main__":
    kind_of, place, signed_path, number_of, lasts = sys.argv[1:]
    at, _, port_of = place.partition(":")
    until = Target(at, int(port_of), signed_path, time.monotonic() + float(lasts))
    print(json.dumps(vars(asyncio.run(watch(kind_of, until, int(number_of))))))
