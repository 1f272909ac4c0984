"""Group commit: deliveries that wait at the same time share one transaction, and so one disk sync."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from models.delivery import NewDelivery

Waiting = list[tuple[NewDelivery, "asyncio.Future[bool]"]]


class GroupCommit:
    """Commits concurrent deliveries in batches, one batch at a time. Belongs to one event loop.

    The first delivery is committed at once. Those that arrive during a commit form the next batch. No delivery waits
    for a batch to grow, so a single one is as fast as without group commit.

    Args:
        store: persists deliveries in one transaction; returns whether it did, and never raises.
        threads: run `store`.
    """

    def __init__(self, store: Callable[[Sequence[NewDelivery]], bool], threads: Executor) -> None:
        self._store, self._threads = store, threads
        self._waiting: Waiting = []
        self._is_underway = False

    async def commit(self, new_delivery: NewDelivery) -> bool:
        """Commit a delivery with its batch, and wait for the result.

        Returns:
            Whether it was stored.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((new_delivery, future))
        if not self._is_underway:
            self._commit_waiting()
        return await future

    def _commit_waiting(self) -> None:
        group, self._waiting = self._waiting, []
        self._is_underway = bool(group)
        if group:
            deliveries = [new_delivery for new_delivery, _ in group]
            commit = asyncio.get_running_loop().run_in_executor(self._threads, self._store, deliveries)
            commit.add_done_callback(partial(self._resolve, group))

    def _resolve(self, group: Waiting, commit: "asyncio.Future[bool]") -> None:
        """Start the next batch, then resume those that wait for this one."""
        self._commit_waiting()
        is_stored = commit.exception() is None and commit.result()
        for _, future in group:
            if not future.done():  # cancelled
                future.set_result(is_stored)
