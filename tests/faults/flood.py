"""`python -m tests.faults.flood PLACE PATH CONNECTIONS SECONDS`: flood the receiver from a process of its own.

Each connection stays open and posts one body after the other about a booking of its own, as fast as it is
answered. It prints what became of them, as JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from devtools.send import samples
from tests.faults.scenarios import AHEAD, BOOKED_AT

PATIENCE_SECONDS = 30
START = BOOKED_AT + AHEAD


@dataclass
class FloodResult:
    """The result of a flood.

    Attributes:
        kept: how many bodies of each connection were answered 200: always its first ones.
        refused: what was answered instead, or which error broke the line -> how often.
        slowest: the longest that anybody waited for an answer, in seconds.
    """

    kept: list[int]
    refused: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


def booking_id(connection: int) -> str:
    """Return the booking of a connection."""
    return f"flood-{connection}"


def body(connection: int, number: int) -> bytes:
    """Return the booking with another link each time: a change without notifications."""
    at = BOOKED_AT + timedelta(seconds=number)
    link = {"channel": "zoom", "meetingLink": f"https://zoom.example/j/{number}"}
    return json.dumps(samples.created(booking_id(connection), START, at, meetingInfo=link)).encode()


async def run_flood(place: str, path: str, connections: int, seconds: float) -> FloodResult:
    """Post on all connections at once, for some time."""
    flood_result, ends = FloodResult([0] * connections), time.monotonic() + seconds
    await asyncio.gather(*(_post_all(flood_result, place, path, each, ends) for each in range(connections)))
    return flood_result


async def _post_all(flood_result: FloodResult, place: str, path: str, connection: int, ends: float) -> None:
    host, _, port = place.partition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.monotonic() < ends:
            started = time.monotonic()
            content = body(connection, flood_result.kept[connection])
            head = f"POST {path} HTTP/1.1\r\nHost: {place}\r\nContent-Length: {len(content)}\r\n\r\n"
            writer.write(head.encode() + content)
            status = await asyncio.wait_for(_hear(reader), PATIENCE_SECONDS)
            flood_result.slowest = max(flood_result.slowest, time.monotonic() - started)
            if status != 200:
                flood_result.refused[str(status)] += 1
                return
            flood_result.kept[connection] += 1
        writer.close()
    except (TimeoutError, OSError, EOFError) as error:
        flood_result.refused[type(error).__name__] += 1


async def _hear(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])


if __name__ == "__main__":
    where, signed_path, number_of, lasts = sys.argv[1:]
    print(json.dumps(vars(asyncio.run(run_flood(where, signed_path, int(number_of), float(lasts))))))
