"""The ledger: what was sent, and what was answered 200."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

NO_ANSWER = 0
"""In place of a status: the line broke."""


@dataclass(frozen=True)
class LoadResponse:
    """What the door said: its status, whether it said when to come back, and how long that took."""

    status: int
    seconds: float
    says_when: bool = False


@dataclass
class SentDeliveries:
    """Filled by many senders at once.

    Attributes:
        kept: delivery id -> body, for what was answered 200.
        answers: every answer, and every line that broke.
        strange: answers that do not name the delivery, or have a status that the door does not document.
        deadly: ids of deliveries that end whoever handles them, and that have to be dead in the end.
    """

    kept: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    answers: list[LoadResponse] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    deadly: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def record_sent(self, body: bytes) -> str:
        """Notes that a body is on its way; returns its id."""
        delivery_id = sha256(body).hexdigest()
        with self._lock:
            self.sent[delivery_id] = body
        return delivery_id

    def record_answer(self, delivery_id: str, answer: LoadResponse, said: bytes) -> None:
        """Notes what became of it."""
        with self._lock:
            self.answers.append(answer)
            if answer.status == 200 and delivery_id.encode() in said:
                self.kept[delivery_id] = self.sent[delivery_id]
            elif answer.status not in (503, NO_ANSWER) or (answer.status == 503 and not answer.says_when):
                self.strange.append(f"{answer.status} {said[:80]!r}")

    def record_accepted(self, body: bytes) -> None:
        """Notes that another process sent a body and heard 200."""
        delivery_id = self.record_sent(body)
        self.kept[delivery_id] = body

    def count(self, *statuses: int) -> int:
        """How many answers had one of these."""
        return sum(answer.status in statuses for answer in self.answers)

    def slowest(self, statuses: Iterable[int] = (200, 503)) -> float:
        """The longest that anybody waited for one of these, in seconds."""
        return max((answer.seconds for answer in self.answers if answer.status in statuses), default=0.0)
