"""Sent deliveries and their responses."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

NO_ANSWER = 0
"""Instead of a status: the connection broke."""


@dataclass(frozen=True)
class LoadResponse:
    """A response: status, whether it has `Retry-After`, and its duration."""

    status: int
    seconds: float
    says_when: bool = False


@dataclass
class SentDeliveries:
    """All sent deliveries. Thread-safe.

    Attributes:
        kept: delivery id -> body, for what was answered 200.
        answers: every answer, and every line that broke.
        strange: answers that do not name the delivery, or have a status that the receiver does not document.
        deadly: ids of deliveries that end whoever handles them, and that have to be dead in the end.
    """

    kept: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    answers: list[LoadResponse] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    deadly: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def record_sent(self, body: bytes) -> str:
        """Record that a body is being sent; return its id."""
        delivery_id = sha256(body).hexdigest()
        with self._lock:
            self.sent[delivery_id] = body
        return delivery_id

    def record_answer(self, delivery_id: str, answer: LoadResponse, said: bytes) -> None:
        """Record its response."""
        with self._lock:
            self.answers.append(answer)
            if answer.status == 200 and delivery_id.encode() in said:
                self.kept[delivery_id] = self.sent[delivery_id]
            elif answer.status not in (503, NO_ANSWER) or (answer.status == 503 and not answer.says_when):
                self.strange.append(f"{answer.status} {said[:80]!r}")

    def record_accepted(self, body: bytes) -> None:
        """Record a body that another process sent and that was answered 200."""
        delivery_id = self.record_sent(body)
        self.kept[delivery_id] = body

    def count(self, *statuses: int) -> int:
        """Count the responses with one of these statuses."""
        return sum(answer.status in statuses for answer in self.answers)

    def slowest(self, statuses: Iterable[int] = (200, 503)) -> float:
        """Return the slowest response with one of these statuses, in seconds."""
        return max((answer.seconds for answer in self.answers if answer.status in statuses), default=0.0)
