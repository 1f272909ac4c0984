"""A bulk of deliveries: replayed chunk by chunk, and watched until they are at rest."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from console.cli.progress import Throttle
from models.delivery import Delivery
from operations.replay.selection import PAGE, SelectedDelivery, chunks
from operations.replay.service import ReplayService
from runtime.stop_signal import Stop

LOOK_EVERY_SECONDS = 0.5

Advance = Callable[[int], object]


@dataclass
class ReplayRun:
    """What is done to many deliveries, and how far it got.

    Attributes:
        repair: how they are replayed.
        pace: how fast.
        stop: set when somebody asks to stop.
        replayed: the ids of those that start over.
        told_again: how many notifications go out once more.
        left: how many were left alone, since somebody else replayed them meanwhile.
        heard: whether Redis heard of all.
    """

    repair: ReplayService
    pace: Throttle
    stop: Stop
    replayed: list[str] = field(default_factory=list)
    told_again: int = 0
    left: int = 0
    heard: bool = True

    def replay(self, chosen: Sequence[SelectedDelivery], advance: Advance) -> None:
        """Replays all, or what it gets to before somebody asks to stop; each chunk is committed by itself."""
        for chunk in chunks(chosen, self.pace.chunk):
            self.pace.wait_for(len(chunk))
            if self.stop.is_set():
                return
            repaired = self.repair.replay(chunk, datetime.now(UTC))
            self.replayed += repaired.ids
            self.told_again += len(repaired.told_again)
            self.left += repaired.left
            self.heard &= repaired.heard
            advance(len(chunk))

    def settle(self, advance: Advance) -> Counter[str]:
        """Waits until all are at rest, or somebody asks to stop.

        Returns:
            Status -> how many; `pending` are those that it did not wait for, `pruned` those that are gone.
        """
        waiting, ends = list(self.replayed), Counter[str]()
        while waiting:
            known = self._statuses(waiting)
            at_rest = Counter(known.get(key, "pruned") for key in waiting if known.get(key) != "pending")
            ends += at_rest
            advance(at_rest.total())
            waiting = [key for key in waiting if known.get(key) == "pending"]
            if waiting and self.stop.wait(LOOK_EVERY_SECONDS):
                ends["pending"] = len(waiting)
                break
        return ends

    def as_json(self) -> dict[str, Any]:
        """What was done, for a program."""
        return {
            "replayed": self.replayed,
            "told_again": self.told_again,
            "left_alone": self.left,
            "workers_were_woken": self.heard,
        }

    def _statuses(self, ids: Sequence[str]) -> dict[str, str]:
        with self.repair.office.database.reading() as session:
            return {
                key: status
                for page in _pages(ids)
                for key, status in session.execute(select(Delivery.id, Delivery.status).where(Delivery.id.in_(page)))
            }


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
