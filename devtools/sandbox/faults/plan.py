"""FaultPlan: what the stand-in does wrong on purpose.

Each decision is a pure function of a seed and what it is about.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

Wire = Literal["new", "old", "both"]

WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})
FAILURES = ("500", "502", "503", "504")
RETRY_AFTER_FORMS = ("none", "seconds", "date")


def _share(meaning: str) -> Any:
    return field(default=0.0, metadata={"help": f"share of {meaning}, 0 to 1"})


@dataclass(frozen=True)
class FaultPlan:
    """A schedule of trouble. Shares are from 0 to 1.

    A delivery is told apart by its event, its booking (or user), the number of that booking's change and the webhook;
    a request by method, path, acting user, the body of a write, and how often just this came before. So a test that
    makes the same bookings in any number of threads meets the same trouble.

    Attributes:
        seed: another number, another schedule; ids follow from it as well.
        drop, repeat, reorder: of the deliveries. A reordered one waits until the next of its booking was sent, or
            until `drain()`, or until its line was quiet for `hold` seconds (0: however long that takes).
        delay: seconds before a delivery, at most.
        wire: the envelope of deliveries; `both` decides for each.
        fail: of the answers, a 500, 502, 503 or 504, with JSON and without; nothing was done.
        time_out: of the answers: none for `hang` seconds, then the line is cut; nothing was done.
        rate_limit: of the answers, a 429 with or without Retry-After (see `retry_after`).
        commit_then_fail: of the writes: done, but the answer is a 500, or the line is cut.
        expire_key: from which request on every credential is expired; 0 for never.
        retry_after: the forms of Retry-After that 429s choose from: `none`, `seconds`, `date`.
    """

    seed: int = field(default=0, metadata={"help": "another number, another schedule"})
    drop: float = _share("deliveries that are lost")
    repeat: float = _share("deliveries that are sent twice")
    reorder: float = _share("deliveries that are sent after the next one of their booking")
    hold: float = field(default=0.0, metadata={"help": "seconds of quiet that end the wait of a reordered delivery"})
    delay: float = field(default=0.0, metadata={"help": "seconds before a delivery, at most"})
    wire: Wire = field(default="new", metadata={"help": "envelope of deliveries: new, old or both"})
    fail: float = _share("requests that are answered with a 5xx")
    time_out: float = _share("requests that are not answered")
    hang: float = field(default=35.0, metadata={"help": "seconds until a line without an answer is cut"})
    rate_limit: float = _share("requests that are answered with a 429")
    commit_then_fail: float = _share("writes that are done and answered with a 500 or a cut line")
    expire_key: int = field(default=0, metadata={"help": "request from which on the credentials are expired"})
    retry_after: tuple[str, ...] = RETRY_AFTER_FORMS

    def delivery_fault(self, *key: str) -> "DeliveryFault":
        """What happens to one delivery."""
        wire = self.choice("wire", ("new", "old"), *key) if self.wire == "both" else self.wire
        return DeliveryFault(
            is_dropped=self._occurs("drop", key),
            copies=2 if self._occurs("repeat", key) else 1,
            is_held=self._occurs("reorder", key),
            delay=self.delay * self._random("delay", key),
            wire=wire,
        )

    def request_fault(self, method: str, *key: str) -> str | None:
        """What happens to one request: the name of an act of the front, or None for a true answer."""
        for name in ("rate_limit", "fail", "time_out"):
            if self._occurs(name, (method, *key)):
                return name
        if method in WRITES and self._occurs("commit_then_fail", (method, *key)):
            return self.choice("ambiguity", ("commit_then_fail", "commit_then_drop"), method, *key)
        return None

    def choice(self, kind: str, options: tuple[str, ...], *key: str) -> str:
        """One of several, always the same for the same key."""
        return options[int(self._random(kind, key) * len(options))]

    def _occurs(self, kind: str, key: tuple[str, ...]) -> bool:
        share: float = getattr(self, kind)
        return share > 0 and self._random(kind, key) < share

    def _random(self, kind: str, key: tuple[str, ...]) -> float:
        """Evenly spread from 0 to below 1."""
        digest = sha256("\x00".join((str(self.seed), kind, *key)).encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56


@dataclass(frozen=True)
class DeliveryFault:
    """What happens to one delivery. `delay` in seconds."""

    is_dropped: bool
    copies: int
    is_held: bool
    delay: float
    wire: str
