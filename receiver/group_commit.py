"""Group commit: deliveries that wait together share one transaction, and so one write to the disk."""

import asyncio
from collections.abc import Callable, Sequence
from threading import Lock

from models.delivery import NewDelivery
from receiver.thread_pool import ThreadPool


class GroupCommit:
    """Whoever finds nobody at it stores what waits, at once. Who comes meanwhile waits for the next turn.

    Nobody waits to make a group larger: one delivery alone is as quick as without.

    Args:
        store: persists deliveries in one transaction; says whether it did, and never raises.
    """

    def __init__(self, store: Callable[[Sequence[NewDelivery]], bool]) -> None:
        self._store = store
        self._lock = Lock()
        self._waiting: list[_ThreadWaiter | _LoopWaiter] = []
        self._is_underway = False

    def commit(self, new_delivery: NewDelivery) -> bool:
        """Returns when the delivery was stored with its group, or could not be.

        Returns:
            Whether it was.
        """
        waiter = _ThreadWaiter(new_delivery)
        if not self._becomes_leader(waiter):
            waiter.wake_up.acquire()
        return self._commit_group() if waiter.is_stored is None else waiter.is_stored

    async def commit_async(self, threads: ThreadPool, new_delivery: NewDelivery) -> bool:
        """The same from an event loop: one of these threads stores the group."""
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
        """Stores who waits now, and hands over to the first who came meanwhile."""
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
    """One delivery in the queue, whose thread waits."""

    def __init__(self, new_delivery: NewDelivery) -> None:
        self.new_delivery = new_delivery
        self.wake_up = Lock()
        self.wake_up.acquire()
        self.is_stored: bool | None = None

    def lead(self) -> None:
        """Its thread stores the next group."""
        self.wake_up.release()

    def resolve(self, is_stored: bool) -> None:
        """Its thread goes on."""
        self.is_stored = is_stored
        self.wake_up.release()


class _LoopWaiter:
    """One delivery in the queue, for which no thread waits."""

    def __init__(self, new_delivery: NewDelivery, threads: ThreadPool, lead: Callable[[], object]) -> None:
        self.new_delivery = new_delivery
        self.future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._threads = threads
        self._commit_group = lead

    def lead(self) -> None:
        """One of the threads stores the next group."""
        self._threads.submit(self._commit_group)

    def resolve(self, is_stored: bool) -> None:
        """The loop goes on."""
        self._threads.resolve(self.future, is_stored)
