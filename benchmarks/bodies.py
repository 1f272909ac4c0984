"""Bodies: meetergo's events about bookings that are made, moved, cancelled or left by a guest, 1 to 2 KB each."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zlib import crc32

from devtools.send import mix, samples
from runtime.encryption import BodyCipher

SEED = 7
SMALLEST = 1024
HOSTS = 100
BODY_KEY = "b" * 43 + "="
CIPHER = BodyCipher([BODY_KEY])
"""Bodies are encrypted, as in production."""


def bodies(run: str, count: int) -> list[bytes]:
    """Return N different deliveries in the order sent; the same for the same run name."""
    rng = Random(f"{SEED} {run}")  # noqa: S311
    return [_padded(_with_host(body)) for body in mix.mix(run, count, datetime.now(UTC), rng)]


def host_ids() -> list[str]:
    """Return the host ids of the bookings."""
    return [f"sample-host-{number}" for number in range(HOSTS)]


def new_bookings(run: str, count: int) -> dict[str, bytes]:
    """Return N new bookings, each of one of the hosts: id -> the delivery that creates it."""
    made = mix.same_event("booking_created", None, run, count, datetime.now(UTC))
    return {mix.booking_id(run, number): _padded(_with_host(body)) for number, body in enumerate(made)}


def moved_bookings(hosts: Sequence[tuple[str, str]], run: str) -> list[bytes]:
    """Yield deliveries that move bookings. Each is newer than the one before, so all of them change something.

    Args:
        hosts: booking ids with the id of their host; bookings may repeat.
        run: makes them differ from those of other runs.
    """
    now, rng = datetime.now(UTC), Random(run)  # noqa: S311
    bodies = []
    for number, (booking, host) in enumerate(hosts):
        at = now + timedelta(microseconds=number)
        start = at + timedelta(days=1, seconds=rng.randint(0, 10**6))
        content = samples.rescheduled(booking, start, at, start - timedelta(hours=1))
        _set_host(content["data"]["rescheduledAppointment"], host)
        bodies.append(_padded(json.dumps(content).encode()))
    return bodies


def sizes(sample: Sequence[bytes]) -> tuple[int, int]:
    """Return the smallest and the largest size, in bytes."""
    return min(map(len, sample)), max(map(len, sample))


def _with_host(body: bytes) -> bytes:
    """Give the booking one of many hosts, always the same."""
    content: dict[str, Any] = json.loads(body)
    appointment = content["data"]["rescheduledAppointment"] if "data" in content else content
    _set_host(appointment, f"sample-host-{crc32(appointment['id'].encode()) % HOSTS}")
    return json.dumps(content).encode()


def _set_host(appointment: dict[str, Any], host: str) -> None:
    appointment.update(hostIds=[host], hosts=[{**appointment["hosts"][0], "id": host}])


def _padded(body: bytes) -> bytes:
    """Pad the body with form answers, which nothing reads, to a realistic size."""
    missing = SMALLEST - len(body)
    if missing <= 0:
        return body
    return json.dumps({**json.loads(body), "formAnswers": "x" * missing}).encode()
