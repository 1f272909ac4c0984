"""The bodies: what meetergo sends about bookings that are made, moved, cancelled or left by a guest, 1 to 2 KB each."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

from console import traffic

SEED = 7
SMALLEST = 1024
HOSTS = 100


def bodies(run: str, count: int) -> list[bytes]:
    """So many different deliveries in the order in which they were sent; the same for the same name of a run."""
    dice = Random(f"{SEED} {run}")  # noqa: S311
    return [_filled(body) for body in traffic.mix(run, count, datetime.now(UTC), dice)]


def sizes(sample: Sequence[bytes]) -> tuple[int, int]:
    """The smallest and the largest, in bytes."""
    return min(map(len, sample)), max(map(len, sample))


def _filled(body: bytes) -> bytes:
    """A form's answers make up for what the samples leave out; nobody reads them."""
    missing = SMALLEST - len(body)
    if missing <= 0:
        return body
    return json.dumps({**json.loads(body), "formAnswers": "x" * missing}).encode()
