"""Received messages, identified by their id and content."""

from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock


@dataclass(frozen=True)
class ReceivedMessage:
    """One received message.

    Attributes:
        message_id: what the message calls itself.
        content: the same for the same change, whatever its id.
        stream: the booking and recipient, whose messages should come in order; empty if it does not say.
        place: its place in that order.
        was_accepted: whether the sink took it.
        was_acknowledged: whether it said so; else the line broke first, and a repeat is no surprise.
    """

    message_id: str
    content: str
    stream: str
    place: int
    was_accepted: bool
    was_acknowledged: bool = True


@dataclass
class ReceivedMessages:
    """All received messages. Thread-safe."""

    all: list[ReceivedMessage] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def note(self, message: ReceivedMessage) -> None:
        """Add a message."""
        with self._lock:
            self.all.append(message)

    def ids(self) -> set[str]:
        """Return the ids of messages accepted at least once."""
        return {message.message_id for message in self.all if message.was_accepted}

    def repeats(self) -> tuple[int, int]:
        """Return how many messages were received repeatedly, and how many of these with the same id."""
        by_content: dict[str, list[str]] = defaultdict(list)
        for message in self.all:
            if message.was_accepted:
                by_content[message.content].append(message.message_id)
        repeated = [ids for ids in by_content.values() if len(ids) > 1]
        return len(repeated), sum(len(set(ids)) == 1 for ids in repeated)

    def excused(self) -> int:
        """Return how many messages were accepted without an acknowledgement: each may be sent again."""
        return len({message.message_id for message in self.all if not message.was_acknowledged})

    def out_of_order(self) -> int:
        """Return how many messages were first received after a later one of the same stream."""
        seen: dict[str, int] = defaultdict(int)
        wrong, known = 0, set()
        for message in self.all:
            if message.was_accepted and message.stream and message.message_id not in known:
                known.add(message.message_id)
                wrong += message.place < seen[message.stream]
                seen[message.stream] = max(seen[message.stream], message.place)
        return wrong
