"""Replay many deliveries in chunks and wait until they are handled."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from models.delivery import Delivery
from operations.replay.selection import SelectedDelivery, chunks, pages
from operations.replay.service import ReplayService
from operations.replay.throttle import Throttle
from runtime.process.stop_signal import StopEvent

POLL_INTERVAL_SECONDS = 0.5

ProgressCallback = Callable[[int], object]


@dataclass
class ReplayRun:
    """The progress of a replay.

    Attributes:
        replay_service: replays them.
        throttle: limits the rate.
        stop: set when a stop is requested.
        replayed: ids of the deliveries that start over.
        resent: number of notifications sent again.
        skipped: number of deliveries skipped because they changed meanwhile.
        queue_reached: whether every trigger reached Redis.
    """

    replay_service: ReplayService
    throttle: Throttle
    stop: StopEvent
    replayed: list[str] = field(default_factory=list)
    resent: int = 0
    skipped: int = 0
    queue_reached: bool = True

    def replay(self, chosen: Sequence[SelectedDelivery], advance: ProgressCallback) -> None:
        """Replay all deliveries, or those before a requested stop; each chunk is its own transaction."""
        for chunk in chunks(chosen, self.throttle.chunk_size):
            self.throttle.wait_for(len(chunk))
            if self.stop.is_set():
                return
            result = self.replay_service.replay(chunk, datetime.now(UTC))
            self.replayed += result.ids
            self.resent += len(result.resent)
            self.skipped += result.skipped
            self.queue_reached &= result.queue_reached
            advance(len(chunk))

    def wait(self, advance: ProgressCallback) -> Counter[str]:
        """Wait until all deliveries are handled or a stop is requested.

        Returns:
            Status -> count; `pending` counts those not waited for, `pruned` those that no longer exist.
        """
        waiting, final_statuses = list(self.replayed), Counter[str]()
        while waiting:
            known = self._statuses(waiting)
            finished = Counter(known.get(key, "pruned") for key in waiting if known.get(key) != "pending")
            final_statuses += finished
            advance(finished.total())
            waiting = [key for key in waiting if known.get(key) == "pending"]
            if waiting and self.stop.wait(POLL_INTERVAL_SECONDS):
                final_statuses["pending"] = len(waiting)
                break
        return final_statuses

    def as_json(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "replayed": self.replayed,
            "told_again": self.resent,
            "left_alone": self.skipped,
            "workers_were_woken": self.queue_reached,
        }

    def _statuses(self, ids: Sequence[str]) -> dict[str, str]:
        with self.replay_service.services.database.read_only() as session:
            return {
                key: status
                for page in pages(ids)
                for key, status in session.execute(select(Delivery.id, Delivery.status).where(Delivery.id.in_(page)))
            }
