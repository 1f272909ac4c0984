"""FaultPlan: the faults that the sandbox injects.

Each decision is a pure function of a seed and its subject.
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
    """A deterministic plan of faults. Shares are from 0 to 1.

    A delivery is identified by its event, its booking (or user), the number of that booking's change and the webhook;
    a request by method, path, acting user, the body of a write, and the number of identical requests before. So a test
    that makes the same bookings in any number of threads meets the same faults.

    Attributes:
        seed: seed of the plan and of all ids.
        drop, repeat, reorder: of the deliveries. A reordered one waits until the next of its booking was sent, or
            until `drain()`, or until its queue was idle for `hold` seconds (0: without limit).
        delay: maximum delay of a delivery, in seconds.
        wire: the envelope of deliveries; `both` decides for each.
        fail: share of requests that get a 500, 502, 503 or 504, with JSON and without, and have no effect.
        time_out: share of requests whose connection hangs for `hang` seconds and is then dropped, without effect.
        rate_limit: share of requests that get a 429 with or without Retry-After (see `retry_after`).
        commit_then_fail: share of writes that take effect, but get a 500 or a dropped connection.
        expire_key: number of the request from which every credential is expired; 0 for never.
        retry_after: the forms of Retry-After that 429s choose from: `none`, `seconds`, `date`.
    """

    seed: int = field(default=0, metadata={"help": "determines ids and faults"})
    drop: float = _share("deliveries that are dropped")
    repeat: float = _share("deliveries that are sent twice")
    reorder: float = _share("deliveries that are sent after the next one of their booking")
    hold: float = field(default=0.0, metadata={"help": "idle seconds after which a reordered delivery is sent"})
    delay: float = field(default=0.0, metadata={"help": "maximum delay of a delivery, in seconds"})
    wire: Wire = field(default="new", metadata={"help": "envelope of deliveries: new, old or both"})
    fail: float = _share("requests that get a 5xx")
    time_out: float = _share("requests that time out")
    hang: float = field(default=35.0, metadata={"help": "seconds until a request that times out is dropped"})
    rate_limit: float = _share("requests that get a 429")
    commit_then_fail: float = _share("writes that take effect, but get a 500 or a dropped connection")
    expire_key: int = field(default=0, metadata={"help": "number of the request from which credentials are expired"})
    retry_after: tuple[str, ...] = RETRY_AFTER_FORMS

    def delivery_fault(self, *key: str) -> "DeliveryFault":
        """Return the fault of one delivery."""
        wire = self.choice("wire", ("new", "old"), *key) if self.wire == "both" else self.wire
        return DeliveryFault(
            is_dropped=self._occurs("drop", key),
            copies=2 if self._occurs("repeat", key) else 1,
            is_held=self._occurs("reorder", key),
            delay=self.delay * self._random("delay", key),
            wire=wire,
        )

    def request_fault(self, method: str, *key: str) -> str | None:
        """Return the fault of one request: its name, or None for a real response."""
        for name in ("rate_limit", "fail", "time_out"):
            if self._occurs(name, (method, *key)):
                return name
        if method in WRITES and self._occurs("commit_then_fail", (method, *key)):
            return self.choice("ambiguity", ("commit_then_fail", "commit_then_drop"), method, *key)
        return None

    def choice(self, kind: str, options: tuple[str, ...], *key: str) -> str:
        """Choose one option, always the same for the same key."""
        return options[int(self._random(kind, key) * len(options))]

    def _occurs(self, kind: str, key: tuple[str, ...]) -> bool:
        share: float = getattr(self, kind)
        return share > 0 and self._random(kind, key) < share

    def _random(self, kind: str, key: tuple[str, ...]) -> float:
        """Return a number uniformly distributed in [0, 1)."""
        digest = sha256("\x00".join((str(self.seed), kind, *key)).encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56


@dataclass(frozen=True)
class DeliveryFault:
    """The fault of one delivery. `delay` is in seconds."""

    is_dropped: bool
    copies: int
    is_held: bool
    delay: float
    wire: str
