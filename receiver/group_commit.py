"""Group commit: deliveries that wait at the same time share one transaction, and so one disk sync."""

import asyncio
from collections.abc import Callable, Sequence
from threading import Lock

from models.delivery import NewDelivery
from receiver.thread_pool import ThreadPool


class GroupCommit:
    """Commits concurrent deliveries in batches.

    The first caller becomes leader and commits everything queued, at once. Callers that arrive during a commit form
    the next batch. No caller waits for a batch to grow, so a single delivery is as fast as without group commit.

    Args:
        store: persists deliveries in one transaction; returns whether it did, and never raises.
    """

    def __init__(self, store: Callable[[Sequence[NewDelivery]], bool]) -> None:
        self._store = store
        self._lock = Lock()
        self._waiting: list[_ThreadWaiter | _LoopWaiter] = []
        self._is_underway = False

    def commit(self, new_delivery: NewDelivery) -> bool:
        """Commit a delivery with its batch, and wait for the result.

        Returns:
            Whether it was stored.
        """
        waiter = _ThreadWaiter(new_delivery)
        if not self._becomes_leader(waiter):
            waiter.wake_up.acquire()
        return self._commit_group() if waiter.is_stored is None else waiter.is_stored

    async def commit_async(self, threads: ThreadPool, new_delivery: NewDelivery) -> bool:
        """Like `commit`, from an event loop: one of these threads commits the batch."""
        waiter = _LoopWaiter(new_delivery, threads, self._commit_group)
        if self._becomes_leader(waiter):
            waiter.lead()
        return await waiter.future

    def _becomes_leader(self, waiter: "_ThreadWaiter | _LoopWaiter") -> bool:
        with self._lock:
            self._waiting.append(waiter)
            becomes_leader, self._is_underway = not self._is_underway, True
        return becomes_leader

    def _commit_group(self) -> bool:
        """Commit everything queued, then pass leadership to the first delivery that arrived meanwhile."""
        with self._lock:
            group, self._waiting = self._waiting, []
        is_stored = False
        try:
            is_stored = self._store([waiter.new_delivery for waiter in group])
        finally:
            self._pass_leadership()
            for waiter in group:
                waiter.resolve(is_stored)
        return is_stored

    def _pass_leadership(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting[0].lead()
            else:
                self._is_underway = False


class _ThreadWaiter:
    """A queued delivery whose thread waits for the commit."""

    def __init__(self, new_delivery: NewDelivery) -> None:
        self.new_delivery = new_delivery
        self.wake_up = Lock()
        self.wake_up.acquire()
        self.is_stored: bool | None = None

    def lead(self) -> None:
        """Let the waiting thread commit the next batch."""
        self.wake_up.release()

    def resolve(self, is_stored: bool) -> None:
        """Resume the waiting thread."""
        self.is_stored = is_stored
        self.wake_up.release()


class _LoopWaiter:
    """A queued delivery awaited by a coroutine, without a thread."""

    def __init__(self, new_delivery: NewDelivery, threads: ThreadPool, lead: Callable[[], object]) -> None:
        self.new_delivery = new_delivery
        self.future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._threads = threads
        self._commit_group = lead

    def lead(self) -> None:
        """Let a thread of the pool commit the next batch."""
        self._threads.submit(self._commit_group)

    def resolve(self, is_stored: bool) -> None:
        """Resume the coroutine."""
        self._threads.resolve(self.future, is_stored)
