"""Group commit: deliveries that wait at the same time share one transaction, and so one disk sync."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial

from models.delivery import NewDelivery
from runtime.logs import log_unhandled_exception

MAX_ROWS, MAX_BYTES = 500, 8 * 1024 * 1024
"""Limits of a batch, which has at least one delivery."""
MAX_WAIT = timedelta(seconds=3)
"""After this time a delivery goes to Redis instead. The sender waits 5 s, and a disk may not answer at all."""

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
        """Commit a delivery with its batch, and wait for the result, but not longer than `MAX_WAIT`.

        Returns:
            Whether it was stored. One that was not in time may still be.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((new_delivery, future))
        if not self._is_underway:
            self._commit_waiting()
        try:
            async with asyncio.timeout(MAX_WAIT.total_seconds()):
                return await future
        except TimeoutError:
            self._waiting = [each for each in self._waiting if each[1] is not future]
            return False

    def _commit_waiting(self) -> None:
        group = self._take_batch()
        self._is_underway = bool(group)
        if not group:
            return
        deliveries = [new_delivery for new_delivery, _ in group]
        try:
            commit = asyncio.get_running_loop().run_in_executor(self._threads, self._store, deliveries)
        except RuntimeError as error:  # no thread can be started now
            log_unhandled_exception(error)
            everyone, self._waiting, self._is_underway = [*group, *self._waiting], [], False
            _resume(everyone, is_stored=False)
        else:
            commit.add_done_callback(partial(self._resolve, group))

    def _take_batch(self) -> Waiting:
        """Take the first that wait, up to the limits: more could not be sent within a statement's time limit."""
        size = rows = 0
        for new_delivery, _ in self._waiting[:MAX_ROWS]:
            size += len(new_delivery.encrypted_body.content)
            if rows and size > MAX_BYTES:
                break
            rows += 1
        group, self._waiting = self._waiting[:rows], self._waiting[rows:]
        return group

    def _resolve(self, group: Waiting, commit: "asyncio.Future[bool]") -> None:
        """Resume those that wait for this batch, and start the next."""
        error = None if commit.cancelled() else commit.exception()
        if error:
            log_unhandled_exception(error)
        _resume(group, is_stored=not commit.cancelled() and error is None and commit.result())
        self._commit_waiting()


def _resume(group: Waiting, *, is_stored: bool) -> None:
    for _, future in group:
        if not future.done():  # cancelled
            future.set_result(is_stored)
