"""SendPlan: what `send` sends, from its options."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import click

from devtools.send import mix

MIX = "mix"
DEFAULT_MIX_SIZE = 100
"""Default number of deliveries in a mix."""
REPEATS_PATTERN = re.compile(r"(\d{0,2}\.\d{1,4})|(\d{1,6})")


class RepeatsParam(click.ParamType[float]):
    """A number of deliveries (10), or a share of them (0.2)."""

    name = "repeats"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Return an int for a number, a float for a share."""
        if not isinstance(value, str):
            return float(value)
        found = REPEATS_PATTERN.fullmatch(value)
        if not found:
            self.fail(
                f"'{value}' is neither a number nor a share: write 10 for ten repeats, or 0.2 for a fifth of all",
                param,
                context,
            )
        return float(value) if found[1] else int(value)


@dataclass(frozen=True)
class SendPlan:
    """What to send: see the options of `send`."""

    event: str | None
    file: Path | None
    booking: str | None
    count: int | None
    shuffle: bool
    duplicate: float
    seed: int

    @property
    def is_single(self) -> bool:
        """Whether it is a single delivery, whose response is printed instead of counts."""
        return self.count in (None, 1) and not (self.duplicate or self.shuffle or self.event == MIX)

    def bodies(self, now: datetime) -> list[bytes]:
        """Return the bodies in sending order. The same seed makes the same choices."""
        rng, run, count = Random(self.seed), uuid.uuid4().hex[:8], self.count or 1  # noqa: S311 - guards nothing
        if self.file:
            bodies = [self.file.read_bytes()] * count
        elif self.event == MIX:
            bodies = mix.mix(run, self.count or DEFAULT_MIX_SIZE, now, rng)
        else:
            bodies = mix.same_event(self.event or "", self.booking, run, count, now)
        bodies = mix.repeated(bodies, self.duplicate, rng)
        if self.shuffle:
            rng.shuffle(bodies)
        return bodies
